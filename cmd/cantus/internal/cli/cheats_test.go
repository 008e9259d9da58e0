package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/cmd/cantus/internal/localnet"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

// partial is an auditor that finds the same whatever it is shown. Its own work is honest.
type partial struct {
	work.Kind
	finds work.AuditOutcome
}

func (p partial) Verify(context.Context, work.Env, work.Task, work.Result) (work.Verdict, error) {
	return work.Verdict{Outcome: p.finds, Label: work.Agreed, Reason: "as always"}, nil
}

// alwaysFinds enrols such an auditor.
func (w *world) alwaysFinds(name string, o work.AuditOutcome) (work.PublicKey, keys.Account) {
	key, err := market.NodeKey(filepath.Join(w.t.TempDir(), name+".key"))
	require.NoError(w.t, err)
	operator := w.join(name, key, func(c *worker.Config) { c.Kinds = []work.Kind{partial{crawl.New(), o}} })
	return key.Public(), operator
}

// plantingWorld is a network whose gateway holds the key files of two workers of other
// operators, who plant a tenth of all receipts, and do and check honest work besides.
func plantingWorld(t *testing.T, workers int) (*world, []work.PublicKey) {
	t.Helper()
	if testing.Short() {
		t.Skip("runs a whole network")
	}
	var decoys []work.PrivateKey
	var names []work.PublicKey
	for i := range 2 {
		path := filepath.Join(t.TempDir(), fmt.Sprintf("decoy-%d.key", i))
		_, err := worker.CreateKey(path)
		require.NoError(t, err)
		key, err := worker.LoadKey(path) // as --decoy-key does
		require.NoError(t, err)
		decoys, names = append(decoys, key), append(names, key.Public())
	}
	w := startWorld(t, workers, func(o *localnet.Options) { o.Decoys, o.PlantBps = decoys, 1000 })
	for i, key := range decoys {
		w.join(fmt.Sprintf("friend-%d", i), key, nil)
	}
	return w, names
}

// crawled is what a crawl ended with, and what the ledger has on it.
type crawled struct {
	out    string
	Pages  uint64
	Counts struct {
		Excluded, Receipts uint64
	}
	Account market.Account
	job     types.Job
	epochs  []types.Epoch
}

// crawl orders a crawl in which as much as possible is audited, and sees to what holds for
// every crawl: the books, the sum of the parts, and a dataset that an outsider accepts.
func (w *world) crawl(seeds []string) crawled {
	t, ctx := w.t, w.t.Context()
	c := crawled{out: filepath.Join(t.TempDir(), "dataset")}
	printed := w.run(append([]string{"crawl", "--out", c.out, "--audit", "100", "--epoch", "5", "--json"}, seeds...)...)
	require.NoError(t, json.Unmarshal(printed, &c))
	id := work.JobID(c.Account.Job)
	var err error
	c.job, err = w.JobRecord(ctx, id)
	require.NoError(t, err)
	c.epochs, err = w.EpochRecords(ctx, id)
	require.NoError(t, err)

	a := c.Account
	require.True(t, a.Balanced)
	same(t, a.Escrow, a.Workers.Add(a.Gateway).Add(a.Auditors).Add(a.Royalties).Add(a.Burned).Add(a.Refunded))
	require.True(t, a.Escrow.Sub(a.Refunded).LTE(a.Price.Mul(math.NewIntFromUint64(a.Units))), "never more than its units cost")
	earned := math.ZeroInt()
	for _, e := range a.Earned {
		earned = earned.Add(e.Amount)
	}
	same(t, a.Workers, earned, "who was paid")
	books, err := w.Books(ctx)
	require.NoError(t, err)
	require.True(t, books.Ok, "%v", books.Broken)
	w.run("verify", c.out)
	return c
}

// slots calls f for each auditor of each audited receipt.
func (c crawled) slots(f func(s types.Sample, auditor work.PublicKey, slot types.AuditorSlot)) {
	for _, e := range c.epochs {
		for _, s := range e.Samples {
			for _, slot := range s.Slots {
				f(s, work.PublicKey(slot.Auditor), slot)
			}
		}
	}
}

// same compares amounts, which may be equal and hold their zeros differently.
func same(t *testing.T, want, got math.Int, why ...any) {
	t.Helper()
	require.Equal(t, want.String(), got.String(), why...)
}

// record reads what the ledger knows of a worker.
func (w *world) record(key work.PublicKey) types.Worker {
	r, err := w.WorkerRecord(w.t.Context(), key)
	require.NoError(w.t, err)
	return r
}

// unharmed asserts that all of them have their whole bonds and no failed audit, but those
// named.
func (w *world) unharmed(but ...work.PublicKey) {
	t := w.t
	p, err := w.Params(t.Context())
	require.NoError(t, err)
	all, err := w.WorkerRecords(t.Context(), "", "")
	require.NoError(t, err)
	n := 0
	for _, r := range all {
		if len(but) > 0 && bytes.Equal(r.Key, but[0][:]) {
			continue
		}
		n++
		require.Equal(t, types.Status_STATUS_ACTIVE, r.Status)
		require.Zero(t, r.AuditsFailed)
		require.Zero(t, r.Charges, "nothing is held against it any more")
		require.Zero(t, r.PlantsPassed)
		same(t, p.MinWorkerBond, r.Bond)
	}
	require.Equal(t, len(all)-len(but), n)
}

// onceEach asserts that the dataset has every page of the sites, once.
func (c crawled) onceEach(t *testing.T, seeds []string, pages int) {
	f, err := os.Open(filepath.Join(c.out, "index.cdxj"))
	require.NoError(t, err)
	defer f.Close()
	times := map[string]int{}
	for s := bufio.NewScanner(f); s.Scan(); {
		_, fields, ok := strings.Cut(s.Text(), "{")
		var line struct{ URL, Status string }
		require.True(t, ok, s.Text())
		require.NoError(t, json.Unmarshal([]byte("{"+fields), &line))
		if line.Status == "200" {
			times[line.URL]++
		}
	}
	for _, seed := range seeds {
		require.Equal(t, 1, times[seed], seed)
		for n := range pages {
			page := fmt.Sprintf("%s%d.html", seed, n)
			require.Equal(t, 1, times[page], page)
		}
	}
	require.Len(t, times, len(seeds)*(pages+1))
	require.EqualValues(t, len(seeds)*(pages+1), c.Pages)
}

// planted counts the plants that the ledger was shown, which every epoch must have been, and
// those that were audited.
func (c crawled) planted(t *testing.T, decoys []work.PublicKey) (shown, audited int) {
	for _, e := range c.epochs {
		require.NotEmpty(t, e.Plants, "a commitment, also to none")
		require.True(t, e.PlantsShown)
		for _, p := range e.Shown {
			require.Contains(t, decoys, work.PublicKey(p.Worker))
		}
		shown += len(e.Shown)
		for _, s := range e.Samples {
			// A merged sample fell on a receipt that another one has drawn.
			if s.Plant && s.Status != types.SampleStatus_SAMPLE_STATUS_MERGED {
				audited++
				require.Equal(t, types.SampleStatus_SAMPLE_STATUS_FALSE, s.Status, "the honest majority saw through it: %v", s.Slots)
			}
		}
	}
	return shown, audited
}

// A gateway plants receipts that it knows to be wrong among those of a crawl. Honest auditors
// find them false, and nobody loses anything: neither the buyer, who does not pay for them
// and does not get them, nor the decoys, nor who worked.
func TestPlants(t *testing.T) {
	w, decoys := plantingWorld(t, 3)
	seeds := sites(t, 8, 6)
	audited := 0
	for job := 1; audited == 0; job++ {
		require.LessOrEqual(t, job, 5, "no plant was drawn")
		c := w.crawl(seeds)
		shown, n := c.planted(t, decoys)
		audited += n
		require.EqualValues(t, shown, c.Account.Plants, "a plant claims one unit")
		require.Equal(t, c.Account.Receipts-uint64(shown), c.Account.Units)
		c.onceEach(t, seeds, 6)

		// The dataset has their receipts, which the trees need, and nothing of what they say.
		b, err := os.ReadFile(filepath.Join(c.out, "excluded.json"))
		require.NoError(t, err)
		var excluded []struct{ Reason string }
		require.NoError(t, json.Unmarshal(b, &excluded))
		require.Len(t, excluded, shown)
		for _, x := range excluded {
			require.Equal(t, "planted", x.Reason)
		}

		c.slots(func(s types.Sample, auditor work.PublicKey, slot types.AuditorSlot) {
			if s.Plant {
				require.Equal(t, types.Outcome_OUTCOME_FAIL, slot.Outcome)
				require.True(t, slot.Paid, "for seeing through it")
			}
		})
		for _, e := range c.Account.Earned {
			if e.Plants > 0 {
				require.Contains(t, decoys, e.Worker)
				require.Zero(t, e.Units, "who plants in a job does no work in it")
				require.True(t, e.Amount.IsZero())
			}
			require.False(t, e.Forfeited)
		}
	}
	w.unharmed()
	gw, err := w.GatewayRecord(t.Context(), w.net.Info().Accounts["gateway"])
	require.NoError(t, err)
	require.Zero(t, gw.PlantsUpheld)
	require.Zero(t, gw.Faults)
}

// An auditor that says yes without looking passes a plant sooner or later: it is outvoted,
// unpaid, and loses a twentieth of its bond for each. Those who looked lose nothing.
func TestAuditorThatSaysYes(t *testing.T) {
	w, decoys := plantingWorld(t, 3)
	lazy, _ := w.alwaysFinds("lazy", work.Pass)
	p, err := w.Params(t.Context())
	require.NoError(t, err)
	seeds := sites(t, 8, 6)
	passed := 0
	for job := 1; passed == 0; job++ {
		require.LessOrEqual(t, job, 6, "it was never drawn for a plant")
		c := w.crawl(seeds)
		c.planted(t, decoys)
		c.onceEach(t, seeds, 6)
		c.slots(func(s types.Sample, auditor work.PublicKey, slot types.AuditorSlot) {
			switch {
			case !s.Plant:
			case auditor == lazy:
				require.Equal(t, types.Outcome_OUTCOME_PASS, slot.Outcome)
				require.False(t, slot.Paid)
				passed++
			default:
				require.Equal(t, types.Outcome_OUTCOME_FAIL, slot.Outcome)
				require.True(t, slot.Paid)
			}
		})
	}
	r := w.record(lazy)
	require.EqualValues(t, passed, r.PlantsPassed)
	require.Zero(t, r.VerdictsMissed)
	require.Zero(t, r.AuditsFailed, "its own work was honest")
	same(t, fined(p.MinWorkerBond, p.PassedPlantSlashBps, passed), r.Bond)
	require.EqualValues(t, 500, p.PassedPlantSlashBps)
	w.unharmed(lazy)
}

// fined is what remains of a bond after so many fines.
func fined(bond math.Int, bps uint32, times int) math.Int {
	for range times {
		bond = bond.Sub(types.Share(bond, bps))
	}
	return bond
}

// An auditor that says no to everything is outvoted each time: it is unpaid and loses a
// thousandth of its bond for each. Whom it accused loses nothing.
func TestAuditorThatSaysNo(t *testing.T) {
	w := startWorld(t, 3)
	ctx := t.Context()
	accuser, operator := w.alwaysFinds("accuser", work.Fail)
	p, err := w.Params(ctx)
	require.NoError(t, err)
	before, err := w.client.Balance(ctx, operator.Address)
	require.NoError(t, err)
	c := w.crawl(sites(t, 8, 6))
	outvoted, paid := 0, 0
	c.slots(func(s types.Sample, auditor work.PublicKey, slot types.AuditorSlot) {
		require.NotEqual(t, types.SampleStatus_SAMPLE_STATUS_FALSE, s.Status)
		kept := s.Status == types.SampleStatus_SAMPLE_STATUS_UPHELD
		switch {
		case auditor == accuser && kept:
			outvoted++
			require.Equal(t, types.Outcome_OUTCOME_FAIL, slot.Outcome)
			require.False(t, slot.Paid)
		case auditor == accuser && slot.Paid:
			paid++ // nobody had a majority
		case kept && slot.Outcome == types.Outcome_OUTCOME_PASS:
			require.True(t, slot.Paid)
		}
	})
	require.Positive(t, outvoted)
	r := w.record(accuser)
	require.Zero(t, r.VerdictsMissed)
	same(t, fined(p.MinWorkerBond, p.OutvotedAuditorSlashBps, outvoted), r.Bond)
	require.EqualValues(t, 10, p.OutvotedAuditorSlashBps)
	w.unharmed(accuser)
	if paid == 0 {
		// Its operator has what its own work earned, and nothing else.
		claimed, err := w.Claimed(ctx, work.JobID(c.job.Id), accuser)
		require.NoError(t, err)
		after, err := w.client.Balance(ctx, operator.Address)
		require.NoError(t, err)
		same(t, c.job.WorkerPrice.Mul(math.NewIntFromUint64(claimed.Units)), after.Sub(before))
	}

	// Nor does it get more by a voucher of its own making.
	key, err := market.NodeKey(filepath.Join(t.TempDir(), "forger.key"))
	require.NoError(t, err)
	forged, err := work.SignVoucher(key, work.Voucher{Chain: w.client.ChainID(), Job: work.JobID(c.job.Id), Worker: accuser, Epoch: 1, Units: 1 << 20})
	require.NoError(t, err)
	encoded, err := forged.Encode()
	require.NoError(t, err)
	gateway := w.net.Info().Accounts["gateway"]
	bonded, err := w.GatewayRecord(ctx, gateway)
	require.NoError(t, err)
	_, err = w.client.Send(ctx, operator.Name, &types.MsgChallengeVoucher{Challenger: operator.Address.String(), Voucher: encoded})
	require.ErrorContains(t, err, "not the gateway")
	unhurt, err := w.GatewayRecord(ctx, gateway)
	require.NoError(t, err)
	same(t, bonded.Bond, unhurt.Bond)
}

// inventor is the web of a worker that never asks anybody: it answers every request with a
// page of its own making, which leads to more of them.
func inventor(t *testing.T) work.DialFunc {
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/robots.txt" {
			http.NotFound(rw, r) // as the true sites answer
			return
		}
		rw.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(rw, "<!doctype html><title>%s</title><h1>Wonders of %[1]s</h1>", r.URL.Path)
		for i := range 120 {
			fmt.Fprintf(rw, "<p>Of wonder %d nobody has heard before, since item %d of %s was made up.</p>", i, i*i, r.URL.Path)
		}
		for i := range 3 {
			fmt.Fprintf(rw, "<a href=/invented-%d.html>more</a>", i)
		}
	}))
	t.Cleanup(s.Close)
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, s.Listener.Addr().String())
	}
}

// A worker that makes its pages up is caught, loses half of its bond and all of its pay in
// the job, which goes back to the buyer.
func TestInventedPagesAreCaught(t *testing.T) {
	w := startWorld(t, 4)
	ctx := t.Context()
	seeds := sites(t, 8, 6)
	cheat := w.outsider("inventor", inventor(t))
	operator, err := keys.Find(w.ring, "inventor")
	require.NoError(t, err)
	var c crawled
	var earned math.Int
	for job := 1; w.record(cheat).Status != types.Status_STATUS_JAILED; job++ {
		require.LessOrEqual(t, job, 10, "ten jobs, and the cheat goes on")
		before, err := w.client.Balance(ctx, operator.Address)
		require.NoError(t, err)
		c = w.crawl(seeds)
		after, err := w.client.Balance(ctx, operator.Address)
		require.NoError(t, err)
		earned = after.Sub(before)
	}
	p, err := w.Params(ctx)
	require.NoError(t, err)
	r := w.record(cheat)
	require.NotZero(t, r.AuditsFailed)
	require.True(t, r.Bond.LTE(fined(p.MinWorkerBond, p.FalseReceiptSlashBps, int(r.AuditsFailed))), "its bond is %s", r.Bond)
	require.EqualValues(t, 5000, p.FalseReceiptSlashBps)
	require.EqualValues(t, r.AuditsFailed, c.Account.False)
	w.unharmed(cheat)

	// What it claimed to have fetched went back to the buyer; it audited honestly.
	claimed, err := w.Claimed(ctx, work.JobID(c.job.Id), cheat)
	require.NoError(t, err)
	require.True(t, claimed.Forfeited)
	var honest, audits uint64
	for _, e := range c.Account.Earned {
		if !e.Forfeited {
			honest += e.Units
		}
	}
	forfeited := c.Account.Units - honest
	require.Positive(t, forfeited)
	price := c.job.WorkerPrice
	same(t, price.Mul(math.NewIntFromUint64(honest)), c.Account.Workers)
	spent := c.Account.Price.Mul(math.NewIntFromUint64(c.Account.Units)).Sub(price.Mul(math.NewIntFromUint64(forfeited)))
	require.True(t, c.Account.Refunded.GTE(c.Account.Escrow.Sub(spent)), "%s of %s units came back", c.Account.Refunded, c.Account.Escrow)
	c.slots(func(_ types.Sample, auditor work.PublicKey, slot types.AuditorSlot) {
		if auditor == cheat && slot.Paid {
			audits++
		}
	})
	require.True(t, earned.LTE(c.Account.Auditors), "its operator earned %s", earned)
	if audits == 0 {
		require.True(t, earned.IsZero(), "its operator earned %s", earned)
	}
	b, err := os.ReadFile(filepath.Join(c.out, "index.cdxj"))
	require.NoError(t, err)
	t.Logf("%d of %d units forfeited, %d found false; %d addresses of its invention in the dataset",
		forfeited, c.Account.Units, r.AuditsFailed, bytes.Count(b, []byte("/invented-")))
}
