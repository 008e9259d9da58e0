package desk_test

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/cmd/cantus/internal/desk"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/work/page"
)

// library is a world whose gateway crawls, and a site.
type library struct {
	*world
	form     types.Form
	kind     *crawl.Kind
	env      work.Env
	url      string
	wanted   []string // asked for
	no       error    // of Ask
	finished int
}

func newLibrary(t *testing.T, policy uint32, form types.Form, content string) *library {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, content)
	}))
	t.Cleanup(s.Close)
	w := newWorld(t, policy)
	l := &library{world: w, form: form, kind: crawl.New(), url: s.URL + "/page"}
	t.Cleanup(l.kind.Close)
	w.pages = l
	l.env = work.Env{Now: time.Now, Rand: rand.Reader, Blobs: w.store, Dial: new(net.Dialer).DialContext}
	m, _, err := desk.OfferPages("gateway", "", form, desk.Prices{Price: math.NewInt(5), DeliveryFee: math.NewInt(7), AuditBps: 10_000, Epoch: 1, Expiry: 100})
	require.NoError(t, err)
	require.NoError(t, m.ValidateBasic())
	id := form.ID()
	w.request.Speaker, w.request.Prompt, w.request.Terms, w.request.Sampling = id[:], []byte(l.url), m.Terms, types.Sampling{}
	return l
}

func (l *library) Ask(_ work.JobID, url string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.no != nil {
		return l.no
	}
	l.wanted = append(l.wanted, url)
	return nil
}

func (l *library) Finish(work.JobID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.finished++
	return nil
}

func (l *library) Answered(work.JobID) (list []crawl.Answered, pending int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil, 0, crawl.ErrNotOpen
	}
	for _, a := range l.done {
		if f, err := page.DecodeFetch(a.Task); err == nil && f.Mode == page.ModePage {
			list = append(list, crawl.Answered{Receipt: a.Receipt, Task: a.Task, Result: a.Result})
		}
	}
	return list, len(l.wanted) - len(list), nil
}

// fetch has a worker do a task, and perhaps say something else than it saw.
func (l *library) fetch(worker byte, f page.Fetch, lie func(*page.Record)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	spec, err := crawl.EncodeSpec(crawl.NewLiveSpec())
	require.NoError(l.t, err)
	task, err := work.Encode(f)
	require.NoError(l.t, err)
	time.Sleep(2 * time.Millisecond) // no two at the same time
	r, err := l.kind.Execute(l.t.Context(), l.env, work.Task{Job: 8, Seq: 1, Spec: spec, Body: task})
	require.NoError(l.t, err)
	if lie != nil {
		rec, err := page.DecodeRecord(r.Body)
		require.NoError(l.t, err)
		lie(&rec)
		r.Body, err = work.Encode(rec)
		require.NoError(l.t, err)
	}
	seed := make([]byte, 32)
	seed[0] = worker
	key, err := work.PrivateKeyFromSeed(seed)
	require.NoError(l.t, err)
	l.signs(key, task, r.Body)
}

func (l *library) page(worker byte, lie func(*page.Record)) {
	l.fetch(worker, page.Fetch{Mode: page.ModePage, URL: l.url}, lie)
}

// told is what the contract is told by what was delivered, as the ledger sees it.
func (l *library) told() types.Page {
	t := l.t
	require.Len(t, l.delivered, 1)
	b, err := l.delivered[0].Marshal()
	require.NoError(t, err)
	e, err := types.DecodeEvidence(b, 128<<10, l.request.Speaker)
	require.NoError(t, err)
	task, err := work.Encode(page.Fetch{Mode: page.ModePage, URL: l.url})
	require.NoError(t, err)
	require.Equal(t, task, e.Task)
	var first page.Record
	for i, b := range append([][]byte{e.Result}, e.Results...) {
		rec, err := page.DecodeRecord(b)
		require.NoError(t, err)
		require.NoError(t, l.form.Check(rec, l.url))
		require.NoError(t, l.form.Shows(rec, e.Spelling))
		signed, err := work.DecodeReceipt(e.Testimonies[i].Receipt)
		require.NoError(t, err)
		require.Equal(t, artifact.Sum(b), signed.Receipt.Result)
		if i == 0 {
			first = rec
		}
		require.Equal(t, l.form.Key(first), l.form.Key(rec))
	}
	return types.PageOf(l.form, first, e.Spelling, l.request.Terms.MaxAnswerBytes)
}

func TestAPageForAContract(t *testing.T) {
	const html = "<title>T</title><p>Some words</p>"
	for _, form := range []types.Form{types.Body, types.Text} {
		t.Run(form.String(), func(t *testing.T) {
			l := newLibrary(t, types.Safe, form, html)
			l.run(func() bool { return len(l.wanted) > 0 })
			require.Equal(t, []string{l.url}, l.wanted)
			has, err := l.store.Has(t.Context(), artifact.Digest(l.request.Terms.SpecDigest))
			require.NoError(t, err)
			require.True(t, has[0], "the scheduler finds the spec")
			// The robots.txt that was read before is no answer.
			l.fetch(0, page.Fetch{Mode: page.ModeRobots, URL: strings.TrimSuffix(l.url, "page") + "robots.txt"}, nil)
			l.page(0, nil)
			l.sealed, l.epoch = true, audited(upheld, upheld)
			l.closed = true // what the worker answered is in the artifact store by then
			l.mu.Lock()
			for _, a := range l.done {
				_, err := l.store.Put(t.Context(), a.Result)
				require.NoError(t, err)
			}
			l.mu.Unlock()
			l.run(func() bool { return len(l.delivered) > 0 })
			told := l.told()
			require.EqualValues(t, 200, told.Status)
			if form == types.Body {
				require.Equal(t, html, string(told.Content))
			} else {
				require.Equal(t, artifact.Sum(told.Content), artifact.Digest(told.Digest))
				require.Contains(t, string(told.Content), "Some words")
				require.NotContains(t, string(told.Content), "<")
			}
		})
	}
}

func TestTwoWorkersSeeAPage(t *testing.T) {
	l := newLibrary(t, 2, types.Text, "<p>Some words</p>")
	l.run(func() bool { return len(l.wanted) == 2 })
	l.page(1, nil)
	l.page(2, func(r *page.Record) { r.TextDigest = artifact.Sum([]byte("lie")) })
	l.sealed, l.epoch = true, status(worktypes.EpochStatus_EPOCH_STATUS_SAMPLED)
	l.run(func() bool { return len(l.wanted) == 3 })
	require.Empty(t, l.delivered, "one of them contradicts its own bytes")
	l.page(3, nil)
	l.run(func() bool { return len(l.delivered) > 0 })
	require.NotEqual(t, l.delivered[0].Result, l.delivered[0].Results[0], "they saw it at different times")
	require.EqualValues(t, 200, l.told().Status)
	require.Len(t, l.wanted, 3)
}

// What is too long for the ledger is told by its digest; where the ledger can't tell that it
// is too long, it must be shown.
func TestALongPage(t *testing.T) {
	long := "<p>" + strings.Repeat("many words and ", types.MaxAnswer/10) + "</p>"
	for _, form := range []types.Form{types.Body, types.Text} {
		l := newLibrary(t, types.Optimistic, form, long)
		l.run(func() bool { return len(l.wanted) == 1 })
		l.page(0, nil)
		l.sealed, l.epoch = true, status(worktypes.EpochStatus_EPOCH_STATUS_SAMPLED)
		l.run(func() bool { return len(l.delivered) > 0 })
		require.Equal(t, form == types.Text, len(l.delivered[0].Spelling) > 0)
		told := l.told()
		require.Empty(t, told.Content)
		require.NotZero(t, told.Digest)
	}
}

// A page that is not to be had has its job ended, so that the money comes back at once.
func TestAPageThatIsNotToBeHad(t *testing.T) {
	for _, no := range []error{crawl.ErrDenied, crawl.ErrSilent, crawl.ErrURL} {
		l := newLibrary(t, types.Safe, types.Body, "")
		l.no = fmt.Errorf("%s: %w", l.url, no)
		l.run(func() bool { return l.finished > 0 })
		l.no = crawl.ErrNotOpen
		from := l.height
		l.run(func() bool { return l.height > from+20 })
		require.Zero(t, l.concluded, "its job is not over")
		l.closed = true
		l.run(func() bool { return l.concluded == 1 })
		require.Empty(t, l.delivered)
	}
}

func TestAnEmptyPage(t *testing.T) {
	l := newLibrary(t, types.Optimistic, types.Text, "")
	l.run(func() bool { return len(l.wanted) == 1 })
	l.page(0, nil)
	l.sealed, l.epoch = true, status(worktypes.EpochStatus_EPOCH_STATUS_SAMPLED)
	l.run(func() bool { return len(l.delivered) > 0 })
	require.Zero(t, l.told().Digest)
	require.Empty(t, l.told().Content)
}
