package crawl_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/kinds/crawl"
	"github.com/cantus-network/cantus/kinds/crawl/local"
	"github.com/cantus-network/cantus/kinds/crawl/robots"
	"github.com/cantus-network/cantus/work"
)

// desk is a gateway with live jobs: a scheduler that does what the test says, with a clock
// of its own, and workers whose results the test makes or a real Kind.
type desk struct {
	t       *testing.T
	kind    *crawl.Kind // the gateway's
	worker  *crawl.Kind
	own     *crawl.Own
	env     work.Env
	clock   time.Time
	private bool
	raw     []byte
	states  map[work.JobID]*local.State
	plans   map[work.JobID]work.Plan
	woken   chan work.JobID
}

func newDesk(t *testing.T, change func(*crawl.Spec)) *desk {
	s := crawl.NewLiveSpec()
	if change != nil {
		change(&s)
	}
	d := &desk{
		t: t, kind: crawl.New(), worker: crawl.New(), env: env(t), clock: time.UnixMilli(1_800_000_000_000),
		raw: encode(t, s), states: map[work.JobID]*local.State{}, plans: map[work.JobID]work.Plan{}, woken: make(chan work.JobID, 1000),
	}
	t.Cleanup(d.kind.Close)
	t.Cleanup(d.worker.Close)
	d.own = d.kind.Own()
	_, err := d.kind.Check(d.raw)
	require.NoError(t, err)
	return d
}

// open takes a job up, or goes on with it as after a restart.
func (d *desk) open(job work.JobID) {
	if d.states[job] == nil {
		s, err := local.OpenState("")
		require.NoError(d.t, err)
		d.t.Cleanup(func() { s.Close() })
		d.states[job] = s
	}
	p, err := d.kind.Plan(d.t.Context(), job, d.raw, d.states[job], work.PlanEnv{
		Now: func() time.Time { return d.clock }, Blobs: d.env.Blobs, AllowPrivate: func(string) bool { return d.private },
		Wake: func(artifact.Digest) { d.woken <- job },
	})
	require.NoError(d.t, err)
	d.plans[job] = p
}

// restart is a gateway that comes up again: all that it knew in memory is gone.
func (d *desk) restart(jobs ...work.JobID) {
	d.kind.Close()
	d.kind = crawl.New()
	d.own = d.kind.Own()
	for _, j := range jobs {
		d.open(j)
	}
}

// next is what a job gives out now.
func (d *desk) next(job work.JobID) []work.Task {
	b := d.states[job].NewBatch()
	bundles, err := d.plans[job].Next(b, 100)
	require.NoError(d.t, err)
	require.NoError(d.t, b.Commit())
	var list []work.Task
	for _, bundle := range bundles {
		require.Len(d.t, bundle.Tasks, 1)
		t := bundle.Tasks[0]
		require.Equal(d.t, job, t.Job)
		t.Spec = d.raw
		list = append(list, t)
	}
	return list
}

// one is the only task that a job gives out now, for this address.
func (d *desk) one(job work.JobID, mode crawl.Mode, url string) work.Task {
	d.t.Helper()
	list := d.next(job)
	require.Len(d.t, list, 1)
	f, err := crawl.DecodeFetch(list[0].Body)
	require.NoError(d.t, err)
	require.Equal(d.t, mode, f.Mode)
	require.Equal(d.t, url, f.URL)
	return list[0]
}

// do has a worker do a task for real.
func (d *desk) do(t work.Task) work.Outcome {
	r, err := d.worker.Execute(d.t.Context(), d.env, t)
	require.NoError(d.t, err)
	return d.outcome(t, r)
}

func (d *desk) outcome(t work.Task, r work.Result) work.Outcome {
	units, err := d.kind.Meter(t, r)
	require.NoError(d.t, err)
	key, err := work.PrivateKeyFromSeed(make([]byte, 32))
	require.NoError(d.t, err)
	s, err := work.SignReceipt(key, work.Receipt{Chain: "c", Job: t.Job, Seq: t.Seq, Attempt: 1, Task: t.Digest(), Result: artifact.Sum(r.Body), Units: units, Started: 1, Finished: 2})
	require.NoError(d.t, err)
	receipt, err := s.Encode()
	require.NoError(d.t, err)
	return work.Outcome{Task: t, Result: r, Units: units, Worker: key.Public(), Receipt: receipt}
}

// claim is a result as a worker would send it that saw this.
func (d *desk) claim(t work.Task, r crawl.Record) work.Outcome {
	f, err := crawl.DecodeFetch(t.Body)
	require.NoError(d.t, err)
	r.URL, r.Time = f.URL, d.clock.UnixMilli()
	res := work.Result{}
	if r.Status != 0 {
		r.Digest, r.WARC, r.Members = artifact.Sum(nil), artifact.Sum([]byte(f.URL)), [3]uint32{1, 1, 1}
		res.Blobs = []artifact.Digest{r.WARC}
	}
	res.Body, err = work.Encode(r)
	require.NoError(d.t, err)
	return d.outcome(t, res)
}

func (d *desk) done(job work.JobID, list ...work.Outcome) {
	b := d.states[job].NewBatch()
	require.NoError(d.t, d.plans[job].Done(b, list))
	require.NoError(d.t, b.Commit())
}

func (d *desk) pending(job work.JobID) int {
	_, n, err := d.own.Answered(job)
	require.NoError(d.t, err)
	return n
}

func (d *desk) answered(job work.JobID) []crawl.Answered {
	list, _, err := d.own.Answered(job)
	require.NoError(d.t, err)
	return list
}

var noRobots = crawl.Record{Status: 404}

func TestALivePage(t *testing.T) {
	s := serve(t, pages(map[string]string{
		"/a": "<title>A</title><p>Hello there</p><a href=/b>b</a>", "/robots.txt": "User-agent: *\nDisallow: /private/\n",
	}))
	d := newDesk(t, nil)
	d.private = true
	d.open(1)
	require.NoError(t, d.own.Ask(1, s.URL+"/a"))
	require.Equal(t, work.JobID(1), <-d.woken)
	require.Equal(t, 1, d.pending(1))
	file := d.one(1, crawl.ModeRobots, s.URL+"/robots.txt")
	require.Empty(t, d.next(1), "not before its robots.txt is known")
	d.done(1, d.do(file))
	page := d.one(1, crawl.ModePage, s.URL+"/a")
	require.Equal(t, 1, d.pending(1))
	o := d.do(page)
	d.done(1, o)
	require.Zero(t, d.pending(1))
	require.Equal(t, []crawl.Answered{{Receipt: o.Receipt, Task: page.Body, Result: o.Result.Body}}, d.answered(1))
	rec, err := crawl.DecodeRecord(o.Result.Body)
	require.NoError(t, err)
	require.EqualValues(t, 200, rec.Status)
	require.Empty(t, rec.Links, "ledgers are shown these records, and nobody follows them")

	body, err := crawl.Content(t.Context(), d.env.Blobs, page.Body, o.Result.Body, false)
	require.NoError(t, err)
	require.Equal(t, rec.Digest, artifact.Sum(body))
	require.Contains(t, string(body), "<title>A</title>")
	text, err := crawl.Content(t.Context(), d.env.Blobs, page.Body, o.Result.Body, true)
	require.NoError(t, err)
	require.Equal(t, rec.TextDigest, artifact.Sum(text))
	require.Contains(t, string(text), "Hello there")

	// A page that is missing is an answer, and one that leads elsewhere too; neither is
	// followed. The robots.txt is known.
	require.NoError(t, d.own.Ask(1, s.URL+"/missing"))
	d.done(1, d.do(d.one(1, crawl.ModePage, s.URL+"/missing")))
	require.Len(t, d.answered(1), 2)
	require.ErrorIs(t, d.own.Ask(1, s.URL+"/private/x"), crawl.ErrDenied)
	require.Zero(t, s.times("/private/x"))
	require.Equal(t, 1, s.times("/robots.txt"))
}

func TestAWorkersWordAgainstItsBytes(t *testing.T) {
	s := serve(t, pages(map[string]string{"/a": "some text"}))
	d := newDesk(t, nil)
	d.open(1)
	body, err := work.Encode(page(s.URL + "/a"))
	require.NoError(t, err)
	o := d.do(work.Task{Job: 1, Seq: 1, Spec: d.raw, Body: body})
	rec, err := crawl.DecodeRecord(o.Result.Body)
	require.NoError(t, err)
	rec.Status = 201
	forged, err := work.Encode(rec)
	require.NoError(t, err)
	_, err = crawl.Content(t.Context(), d.env.Blobs, body, forged, false)
	require.ErrorIs(t, err, crawl.ErrResult)
	rec.Status, rec.WARC = 200, artifact.Sum([]byte("lost"))
	forged, err = work.Encode(rec)
	require.NoError(t, err)
	_, err = crawl.Content(t.Context(), d.env.Blobs, body, forged, true)
	require.ErrorIs(t, err, artifact.ErrNotFound)
	file, err := work.Encode(crawl.Fetch{Mode: crawl.ModeRobots, URL: s.URL + "/a"})
	require.NoError(t, err)
	_, err = crawl.Content(t.Context(), d.env.Blobs, file, o.Result.Body, false)
	require.Error(t, err)
}

func TestARobotsThatIsLearntLate(t *testing.T) {
	s := serve(t, pages(map[string]string{"/robots.txt": "User-agent: CantusBot\nDisallow: /\n"}))
	d := newDesk(t, nil)
	d.private = true
	d.open(1)
	require.NoError(t, d.own.Ask(1, s.URL+"/a"))
	d.done(1, d.do(d.one(1, crawl.ModeRobots, s.URL+"/robots.txt")))
	require.Empty(t, d.next(1))
	require.Zero(t, d.pending(1))
	require.ErrorIs(t, d.own.Ask(1, s.URL+"/a"), crawl.ErrDenied)
	require.False(t, d.plans[1].Status().Finished)
	require.NoError(t, d.own.Finish(1))
	require.True(t, d.plans[1].Status().Finished)
	require.Empty(t, d.next(1))
	d.restart(1)
	require.True(t, d.plans[1].Status().Finished, "it stays so")
	require.ErrorIs(t, d.own.Ask(1, s.URL+"/a"), crawl.ErrNotOpen)

	// A day later the host is asked anew.
	d.open(2)
	require.NoError(t, d.own.Ask(2, s.URL+"/a"))
	d.done(2, d.do(d.one(2, crawl.ModeRobots, s.URL+"/robots.txt")))
	require.ErrorIs(t, d.own.Ask(2, s.URL+"/a"), crawl.ErrDenied)
	d.clock = d.clock.Add(robots.MaxAge)
	require.NoError(t, d.own.Ask(2, s.URL+"/a"))
	d.one(2, crawl.ModeRobots, s.URL+"/robots.txt")
}

// The jobs of a gateway ask for a host's robots.txt once, and share the host's pace.
func TestOnePaceForAllJobs(t *testing.T) {
	d := newDesk(t, func(s *crawl.Spec) { s.Rate = 500 }) // a request in two seconds
	const jobs = 4
	for j := range work.JobID(jobs) {
		d.open(j + 1)
		require.NoError(t, d.own.Ask(j+1, fmt.Sprintf("http://e.example/%d", j+1)))
	}
	file := d.one(1, crawl.ModeRobots, "http://e.example/robots.txt")
	for j := range work.JobID(jobs) {
		require.Empty(t, d.next(j+1))
	}
	d.done(1, d.claim(file, noRobots))
	given := 0
	for seconds := 0; given < jobs; seconds++ {
		require.Less(t, seconds, 20)
		now := 0
		for j := range work.JobID(jobs) {
			now += len(d.next(j + 1))
		}
		given += now
		if seconds%2 == 1 {
			require.Zero(t, now, "second %d", seconds)
		} else if seconds > 0 {
			require.Equal(t, 1, now, "second %d", seconds)
		}
		d.clock = d.clock.Add(time.Second)
	}
	// Others wait for nothing.
	require.NoError(t, d.own.Ask(1, "http://other.example/"))
	d.one(1, crawl.ModeRobots, "http://other.example/robots.txt")
	require.NoError(t, d.own.Ask(1, "http://e.example/again"))
	require.Empty(t, d.next(1))
	require.LessOrEqual(t, d.plans[1].Status().Wait, 2*time.Second)
}

func TestTheJobThatAskedIsGone(t *testing.T) {
	d := newDesk(t, nil)
	d.open(1)
	d.open(2)
	require.NoError(t, d.own.Ask(1, "http://e.example/1"))
	require.NoError(t, d.own.Ask(2, "http://e.example/2"))
	d.one(1, crawl.ModeRobots, "http://e.example/robots.txt")
	require.Empty(t, d.next(2))
	for len(d.woken) > 0 {
		<-d.woken
	}
	require.NoError(t, d.plans[1].Close())
	require.ErrorIs(t, d.own.Ask(1, "http://e.example/1"), crawl.ErrNotOpen)
	require.Equal(t, work.JobID(2), <-d.woken)
	d.clock = d.clock.Add(time.Second)
	d.one(2, crawl.ModeRobots, "http://e.example/robots.txt")

	// One that sits on its task holds others up for a while only.
	d.open(3)
	require.NoError(t, d.own.Ask(3, "http://e.example/3"))
	require.Empty(t, d.next(3))
	d.clock = d.clock.Add(time.Minute)
	d.one(3, crawl.ModeRobots, "http://e.example/robots.txt")
}

// What is out goes on after a restart, and what was answered is there.
func TestALiveJobGoesOn(t *testing.T) {
	d := newDesk(t, nil)
	d.open(1)
	const url = "http://e.example/page"
	require.NoError(t, d.own.Ask(1, url))
	file := d.one(1, crawl.ModeRobots, "http://e.example/robots.txt")
	d.restart(1)
	require.Zero(t, d.pending(1), "what was asked is to be asked again")
	require.NoError(t, d.own.Ask(1, url))
	require.Empty(t, d.next(1), "a worker has the robots.txt in hand")
	d.done(1, d.claim(file, noRobots))
	page := d.one(1, crawl.ModePage, url)
	require.Greater(t, page.Seq, file.Seq)
	d.restart(1)
	require.Equal(t, 1, d.pending(1), "a worker has it in hand")
	o := d.claim(page, crawl.Record{Status: 301, Location: "http://e.example/there"})
	d.done(1, o, o)
	d.restart(1)
	require.Equal(t, []crawl.Answered{{Receipt: o.Receipt, Task: page.Body, Result: o.Result.Body}}, d.answered(1))
	require.Zero(t, d.pending(1))
	require.EqualValues(t, 1, d.plans[1].Status().Counts["pages"])
}

func TestRobotsThatLeadElsewhere(t *testing.T) {
	d := newDesk(t, nil)
	d.open(1)
	require.NoError(t, d.own.Ask(1, "http://e.example/1"))
	file := d.one(1, crawl.ModeRobots, "http://e.example/robots.txt")
	for hop := range 5 {
		to := fmt.Sprintf("http://www%d.example/robots.txt", hop)
		d.done(1, d.claim(file, crawl.Record{Status: 302, Location: to}))
		file = d.one(1, crawl.ModeRobots, to)
		f, err := crawl.DecodeFetch(file.Body)
		require.NoError(t, err)
		require.EqualValues(t, hop+1, f.Depth)
	}
	d.done(1, d.claim(file, crawl.Record{Status: 302, Location: "http://e.example/x"}))
	d.clock = d.clock.Add(time.Minute)
	d.one(1, crawl.ModePage, "http://e.example/1")
}

// A page without a response may be asked for again, a few times and with longer and longer
// pauses; then its host is left alone.
func TestNobodyThere(t *testing.T) {
	for name, c := range map[string]struct {
		known bool // robots.txt
		rec   crawl.Record
		most  int // tries
	}{
		"no such name":            {false, crawl.Record{Error: crawl.ErrDNS}, 4},
		"robots.txt is down":      {false, crawl.Record{Status: 503}, 4},
		"gone since":              {true, crawl.Record{Error: crawl.ErrTimeout}, 4},
		"an address of its own":   {true, crawl.Record{Error: crawl.ErrForbidden}, 1},
		"no end of its head":      {true, crawl.Record{Error: crawl.ErrTooLarge}, 1},
		"connections break often": {true, crawl.Record{Error: crawl.ErrReset}, 4},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk(t, nil)
			d.open(1)
			const url = "http://e.example/page"
			require.NoError(t, d.own.Ask(1, url))
			if c.known {
				d.done(1, d.claim(d.one(1, crawl.ModeRobots, "http://e.example/robots.txt"), noRobots))
			}
			tries := 0
			for range 100 {
				d.clock = d.clock.Add(time.Second)
				if d.pending(1) == 0 {
					if err := d.own.Ask(1, url); err != nil {
						require.ErrorIs(t, err, crawl.ErrSilent)
						break
					}
				}
				for _, task := range d.next(1) {
					tries++
					d.done(1, d.claim(task, c.rec))
				}
			}
			require.Equal(t, c.most, tries)
			require.ErrorIs(t, d.own.Ask(1, url), crawl.ErrSilent)
			require.Empty(t, d.answered(1))
			// Another job may try another day.
			d.open(2)
			d.clock = d.clock.Add(time.Hour)
			require.NoError(t, d.own.Ask(2, url))
			require.Len(t, d.next(2), 1)
		})
	}
}

// A host that asks to be left alone for a while is.
func TestRetryAfter(t *testing.T) {
	d := newDesk(t, nil)
	d.open(1)
	require.NoError(t, d.own.Ask(1, "http://e.example/1"))
	d.done(1, d.claim(d.one(1, crawl.ModeRobots, "http://e.example/robots.txt"), noRobots))
	d.clock = d.clock.Add(time.Second)
	d.done(1, d.claim(d.one(1, crawl.ModePage, "http://e.example/1"), crawl.Record{Status: 429, RetryAfter: 100}))
	require.Len(t, d.answered(1), 1, "that is an answer")
	require.NoError(t, d.own.Ask(1, "http://e.example/2"))
	d.clock = d.clock.Add(99 * time.Second)
	require.Empty(t, d.next(1))
	d.clock = d.clock.Add(time.Second)
	d.one(1, crawl.ModePage, "http://e.example/2")
}

func TestWhatIsNoLiveAddress(t *testing.T) {
	d := newDesk(t, nil)
	d.open(1)
	for _, url := range []string{"", "ftp://e.example/", "http://E.example/", "http://e.example", "http://e.example/a/../b", "http://e.example/#x", "http://u:p@e.example/"} {
		require.ErrorIs(t, d.own.Ask(1, url), crawl.ErrURL, "%q", url)
	}
	require.ErrorIs(t, d.own.Ask(2, "http://e.example/"), crawl.ErrNotOpen)
	_, _, err := d.own.Answered(2)
	require.ErrorIs(t, err, crawl.ErrNotOpen)
	require.ErrorIs(t, d.own.Finish(2), crawl.ErrNotOpen)
}

func TestLiveSpecs(t *testing.T) {
	for name, change := range map[string]func(*crawl.Spec){
		"seeds":    func(s *crawl.Spec) { s.Seeds = []string{"http://e.example/"} },
		"pages":    func(s *crawl.Spec) { s.MaxPages = 1 },
		"depth":    func(s *crawl.Spec) { s.MaxDepth = 1 },
		"sitemaps": func(s *crawl.Spec) { s.Sitemaps = true },
		"rate":     func(s *crawl.Spec) { s.Rate = 0 },
		"bytes":    func(s *crawl.Spec) { s.MaxBytes = 1 },
	} {
		s := crawl.NewLiveSpec()
		require.NoError(t, s.Check())
		change(&s)
		require.ErrorIs(t, s.Check(), crawl.ErrSpec, name)
	}
}

// An auditor of a live page sees links that were changed although the record has none.
func TestAChangedLinkOfALivePage(t *testing.T) {
	d := newDesk(t, nil)
	link := "/real"
	s := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/robots.txt" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		w.Header().Set("ETag", `"1"`)
		fmt.Fprint(w, "<p>", strings.Repeat("some words that stay as they are ", 20), "</p><a href="+link+">pay here</a>")
	}))
	body, err := work.Encode(page(s.URL + "/"))
	require.NoError(t, err)
	task := work.Task{Job: 1, Seq: 1, Spec: d.raw, Body: body}
	right := d.do(task)
	v, err := d.worker.Verify(t.Context(), d.env, task, right.Result)
	require.NoError(t, err)
	require.Equal(t, work.Pass, v.Outcome, v.Reason)
	link = "/fake"
	v, err = d.worker.Verify(t.Context(), d.env, task, right.Result)
	require.NoError(t, err)
	require.NotEqual(t, work.Pass, v.Outcome, v.Reason)
}
