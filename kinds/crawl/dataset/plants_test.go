package dataset_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/crawl/dataset"
	"github.com/cantus-network/cantus/work"
)

// plant spoils the result of a receipt that is pending and adds it as another worker's.
func (w *world) plant(i int) {
	w.t.Helper()
	of := w.pending[i]
	right, err := w.blobs.Get(context.Background(), of.s.Receipt.Result, 0)
	require.NoError(w.t, err)
	task := work.Task{Job: w.job.ID, Seq: w.seq + 1, Spec: w.spec, Body: of.receipt.Task}
	wrong, err := w.kind.Spoil(context.Background(), w.env(), task, work.Result{Body: right})
	require.NoError(w.t, err)
	w.receipt(task, wrong.Body)
}

// show commits the last epoch to its plants and shows them.
func (w *world) show(indices ...uint64) {
	w.t.Helper()
	e := &w.epochs[len(w.epochs)-1]
	p := work.Plants{Chain: chainID, Job: w.job.ID, Epoch: e.Number, Indices: indices, Salt: [32]byte{byte(e.Number)}}
	var err error
	e.Plants, err = p.Commitment()
	require.NoError(w.t, err)
	e.PlantsShown, e.PlantUnits = true, uint64(len(indices))
	w.plants = append(w.plants, p)
}

// plantedJob is a job with a plant in its first epoch, which an auditor found out, and none in
// its second, of which the ledger has the commitment all the same.
func plantedJob(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	server := httptest.NewServer(http.HandlerFunc(site))
	t.Cleanup(server.Close)
	spec, err := crawl.NewSpec(server.URL + "/")
	require.NoError(t, err)
	w.open(spec)
	page := func(path string) {
		w.fetch(crawl.Fetch{Mode: crawl.ModePage, URL: server.URL + path, Depth: 1})
	}
	page("/")
	page("/a")
	page("/n/1")
	w.plant(2)
	page("/plain")
	w.commit()
	w.show(3)
	w.epochs[0].Samples = []work.Sample{{Unit: 3, Status: work.SampleFalse, Receipt: w.receipts[3].Signed}}
	page("/n/2")
	w.commit()
	w.show()
	w.settle()
	w.job.UnitsSettled--
	return w
}

func TestPlants(t *testing.T) {
	w := plantedJob(t)
	dir, out := w.write()
	require.EqualValues(t, 5, out.Counts.Pages, "the plant is no page")
	require.EqualValues(t, 1, out.Counts.Excluded)
	require.EqualValues(t, 6, out.Counts.Receipts, "the trees need it")
	b, err := os.ReadFile(filepath.Join(dir, "excluded.json"))
	require.NoError(t, err)
	require.Contains(t, string(b), `"reason":"planted"`)
	for name, view := range map[string]dataset.LedgerView{"offline": nil, "with the ledger": w} {
		r, err := dataset.Verify(t.Context(), dir, view, nil)
		require.NoError(t, err)
		for _, c := range r.Checks {
			require.True(t, c.OK(), "%s: %+v", name, *c)
		}
	}
}

// TestPlantsAreCommitted changes what is said of plants, at the gateway and afterwards.
func TestPlantsAreCommitted(t *testing.T) {
	for name, change := range map[string]func(w *world){
		"a page is called a plant": func(w *world) { w.plants[0].Indices = []uint64{0, 3} },
		"another one":              func(w *world) { w.plants[0].Indices = []uint64{2} },
		"a plant is hidden":        func(w *world) { w.plants[0].Indices = nil },
		"nothing is said of them":  func(w *world) { w.plants = w.plants[1:] },
		"other salt":               func(w *world) { w.plants[1].Salt[3]++ },
		"another job's":            func(w *world) { w.plants[0].Job++ },
	} {
		w := plantedJob(t)
		change(w)
		_, err := dataset.Write(t.Context(), t.TempDir(), w, w.meta(), nil)
		require.ErrorIs(t, err, dataset.ErrSource, name)
	}

	// A dataset that was right for another ledger.
	w := plantedJob(t)
	dir, _ := w.write()
	for name, change := range map[string]func(e *work.Epoch){
		"another commitment": func(e *work.Epoch) { e.Plants = artifact.Sum([]byte("other")) },
		"never shown":        func(e *work.Epoch) { e.PlantsShown = false },
	} {
		was := w.epochs[0]
		change(&w.epochs[0])
		r, err := dataset.Verify(t.Context(), dir, w, nil)
		require.NoError(t, err)
		require.False(t, r.OK(), name)
		w.epochs[0] = was
	}
}
