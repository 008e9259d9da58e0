package frontier_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/kinds/crawl/frontier"
	"github.com/cantus-network/cantus/kinds/crawl/robots"
	"github.com/cantus-network/cantus/kinds/crawl/weburl"
	"github.com/cantus-network/cantus/work"
)

// memory is a state whose batches can be committed late.
type memory map[string][]byte

func (m memory) Get(key []byte) ([]byte, error) { return bytes.Clone(m[string(key)]), nil }

func (m memory) Scan(start, end []byte, f func(key, value []byte) bool) error {
	for _, k := range slices.Sorted(maps.Keys(m)) {
		if k >= string(start) && (end == nil || k < string(end)) && !f([]byte(k), m[k]) {
			return nil
		}
	}
	return nil
}

type batch []func(memory)

func (b *batch) Set(k, v []byte) {
	key, val := string(k), append([]byte{}, v...)
	*b = append(*b, func(m memory) { m[key] = val })
}

func (b *batch) Delete(k []byte) {
	key := string(k)
	*b = append(*b, func(m memory) { delete(m, key) })
}

// world is a frontier with a clock, whose last batches are not committed yet.
type world struct {
	t       *testing.T
	f       *frontier.Frontier
	state   memory
	lag     int
	late    []*batch
	now     time.Time
	private bool
	dropped map[string]int
}

func newWorld(t *testing.T, private bool, lag int) *world {
	w := &world{t: t, state: memory{}, lag: lag, now: time.UnixMilli(1e12), private: private, dropped: map[string]int{}}
	w.open()
	return w
}

func (w *world) open() {
	var err error
	w.f, err = frontier.Open(w.state, frontier.Config{
		Now: func() time.Time { return w.now }, Interval: time.Second,
		Private: func(string) bool { return w.private },
		Dropped: func(_ frontier.Item, why string) { w.dropped[why]++ },
	})
	require.NoError(w.t, err)
}

func (w *world) do(f func(b work.Batch)) {
	b := &batch{}
	f(b)
	require.NoError(w.t, w.f.Flush(b))
	w.late = append(w.late, b)
	for len(w.late) > w.lag {
		for _, write := range *w.late[0] {
			write(w.state)
		}
		w.late = w.late[1:]
	}
}

func (w *world) commit() {
	lag := w.lag
	w.lag = 0
	w.do(func(work.Batch) {})
	w.lag = lag
}

func (w *world) add(urls ...string) {
	w.do(func(b work.Batch) {
		for _, s := range urls {
			u, err := weburl.Parse(s)
			require.NoError(w.t, err)
			_, err = w.f.Add(b, frontier.Item{URL: u, Mode: 1})
			require.NoError(w.t, err)
		}
	})
}

func (w *world) next(max int) (groups []frontier.Group) {
	w.do(func(b work.Batch) {
		var err error
		groups, err = w.f.Next(b, max, 1<<30)
		require.NoError(w.t, err)
	})
	return groups
}

func (w *world) finish(g frontier.Given, e frontier.End) {
	w.do(func(b work.Batch) {
		if g.Item.Mode == frontier.ModeRobots && e == (frontier.End{}) {
			e.Robots = &robots.File{}
		}
		_, err := w.f.Finish(b, g.Seq, e)
		require.NoError(w.t, err)
	})
}

// drain takes everything there is until nothing is left, and returns the addresses.
func (w *world) drain() (urls []string) {
	for step := 0; ; step++ {
		require.Less(w.t, step, 100_000)
		groups := w.next(50)
		for _, g := range groups {
			for _, it := range g.Items {
				if it.Item.Mode != frontier.ModeRobots {
					urls = append(urls, it.Item.URL.String())
				}
				w.finish(it, frontier.End{})
			}
		}
		s := w.f.Stats()
		if s.Queued == 0 && s.Out == 0 {
			return urls
		}
		w.now = w.now.Add(s.Wait)
	}
}

func many(host string, n int) (urls []string) {
	for i := range n {
		urls = append(urls, fmt.Sprintf("http://%s/%05d", host, i))
	}
	return urls
}

// TestLateCommits holds that nothing is lost, doubled or reordered while writes are not
// committed yet, with queues far longer than memory's part of them.
func TestLateCommits(t *testing.T) {
	for _, lag := range []int{0, 1, 7} {
		w := newWorld(t, true, lag)
		want := many("a.example", 3000)
		for part := range slices.Chunk(want, 700) {
			w.add(part...)
			w.add(part...) // known already
		}
		got := w.drain()
		require.Equal(t, want, got, "lag %d", lag)
		w.commit()
		require.False(t, w.addOne("http://a.example/00042"), "it is known after all")
	}
}

func (w *world) addOne(s string) (fresh bool) {
	w.do(func(b work.Batch) {
		u, err := weburl.Parse(s)
		require.NoError(w.t, err)
		fresh, err = w.f.Add(b, frontier.Item{URL: u, Mode: 1})
		require.NoError(w.t, err)
	})
	return fresh
}

func TestReopenGoesOn(t *testing.T) {
	w := newWorld(t, false, 0)
	w.add(many("a.example", 100)...)
	w.add(many("b.example", 3)...)
	for _, g := range w.next(10) {
		w.finish(g.Items[0], frontier.End{Robots: &robots.File{Delay: 3 * time.Second}, IP: "192.0.2.1"})
	}
	w.now = w.now.Add(time.Minute)
	groups := w.next(1000)
	require.Len(t, groups, 1, "both hosts are one server: they take turns")
	require.Equal(t, 3*time.Second, groups[0].Pace)
	require.Len(t, groups[0].Items, 10, "thirty seconds' worth")
	before := w.f.Stats()
	w.open()
	require.Equal(t, before.Queued, w.f.Stats().Queued)
	require.Equal(t, before.Out, w.f.Stats().Out)
	require.Empty(t, w.next(1000), "what was out is out still, and its server is busy")
	for _, it := range groups[0].Items {
		w.finish(it, frontier.End{IP: "192.0.2.1"})
	}
	require.Empty(t, w.next(1000), "the server has its pause")
	require.Len(t, w.drain(), 93)
}

func TestDeadHostIsGivenUp(t *testing.T) {
	w := newWorld(t, false, 0)
	w.add(many("a.example", 5000)...)
	w.finish(w.next(1)[0].Items[0], frontier.End{})
	sizes := []int{}
	for w.f.Stats().Queued+w.f.Stats().Out > 0 {
		for _, g := range w.next(1000) {
			sizes = append(sizes, len(g.Items))
			for _, it := range g.Items {
				w.finish(it, frontier.End{Host: "refused", Retry: true})
			}
		}
		w.now = w.now.Add(w.f.Stats().Wait)
	}
	require.Equal(t, []int{30, 1, 1, 1, 1}, sizes, "after the first group it is only tried whether the host is back")
	require.Equal(t, 5000, w.dropped["refused"])
}

func TestStop(t *testing.T) {
	w := newWorld(t, true, 0)
	w.add(many("a.example", 500)...)
	w.finish(w.next(1)[0].Items[0], frontier.End{})
	g := w.next(5)
	var n uint64
	w.do(func(work.Batch) { n = w.f.Stop() })
	require.EqualValues(t, 495, n)
	w.do(func(b work.Batch) {
		for _, g := range g {
			for _, it := range g.Items {
				gaveUp, err := w.f.Finish(b, it.Seq, frontier.End{Retry: true})
				require.NoError(t, err)
				require.True(t, gaveUp)
			}
		}
	})
	w.open()
	require.Zero(t, w.f.Stats().Queued)
	require.Empty(t, w.next(100))
}

func TestRobotsAreAskedAgainAfterADay(t *testing.T) {
	w := newWorld(t, false, 0)
	w.add(many("a.example", 2)...)
	w.finish(w.next(1)[0].Items[0], frontier.End{})
	w.now = w.now.Add(25 * time.Hour)
	g := w.next(10)
	require.Equal(t, frontier.ModeRobots, g[0].Items[0].Item.Mode)
	// It can't be had any more: the old rules are better than none.
	for range 4 {
		require.Equal(t, frontier.ModeRobots, g[0].Items[0].Item.Mode)
		w.do(func(b work.Batch) {
			_, err := w.f.Finish(b, g[0].Items[0].Seq, frontier.End{})
			require.NoError(t, err)
		})
		w.now = w.now.Add(time.Hour)
		g = w.next(10)
	}
	require.Len(t, g[0].Items, 2)
	require.EqualValues(t, 1, g[0].Items[0].Item.Mode)
}

// TestLongRules has two hosts whose rules are too long for memory take turns.
func TestLongRules(t *testing.T) {
	for _, lag := range []int{0, 4} {
		w := newWorld(t, true, lag)
		long := bytes.Repeat([]byte("Disallow: /no/such/page/anywhere\n"), 2000)
		for i := range 2 {
			w.add(many(fmt.Sprintf("h%d.example", i), 300)...)
		}
		for _, g := range w.next(2) {
			last := "00001"
			if g.Items[0].Item.URL.Host() == "h1.example" {
				last = "00002"
			}
			file := robots.Parse(append([]byte("User-agent: *\nDisallow: /"+last+"\n"), long...), "CantusBot")
			w.finish(g.Items[0], frontier.End{Robots: &file})
		}
		got := w.drain()
		require.Len(t, got, 598)
		require.NotContains(t, got, "http://h0.example/00001")
		require.NotContains(t, got, "http://h1.example/00002")
		require.Equal(t, 2, w.dropped[frontier.Denied])
	}
}

func TestDamagedState(t *testing.T) {
	for _, m := range []memory{
		{"f": []byte("x")},
		{"hhttp://a.example": []byte("x")},
		{"o\x00\x00\x00\x00\x00\x00\x00\x01": []byte("x")},
		{"o\x00\x00\x00\x00\x00\x00\x00\x01": append(make([]byte, 8), []byte("\x01\x00\x00\x00http://a.example/")...)},
		{"rshort": nil},
	} {
		_, err := frontier.Open(m, frontier.Config{Now: time.Now, Private: func(string) bool { return false }})
		require.ErrorIs(t, err, frontier.ErrState)
	}
}

func BenchmarkAdd(b *testing.B) {
	f, err := frontier.Open(memory{}, frontier.Config{Now: time.Now, Private: func(string) bool { return false }})
	if err != nil {
		b.Fatal(err)
	}
	for i := 0; b.Loop(); i++ {
		u, _ := weburl.Parse(fmt.Sprintf("http://h%d.example/%d", i%1000, i))
		var drop sink
		if _, err := f.Add(drop, frontier.Item{URL: u, Mode: 1}); err != nil {
			b.Fatal(err)
		}
	}
}

type sink struct{}

func (sink) Set([]byte, []byte) {}
func (sink) Delete([]byte)      {}
