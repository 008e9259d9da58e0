package model

import (
	"sync"
	"sync/atomic"
)

// threads computes independent parts on several goroutines; which one computes what does
// not matter to the result. The caller is one of them.
type threads struct {
	n    int
	work chan func(worker int)
	wait sync.WaitGroup
}

func newThreads(n int) *threads {
	t := &threads{n: max(n, 1), work: make(chan func(int))}
	for w := 1; w < t.n; w++ {
		go func() {
			for f := range t.work {
				f(w)
				t.wait.Done()
			}
		}()
	}
	return t
}

// each covers 0 to n with calls of f(worker, from, to), of at most grain each unless n is
// not worth sharing.
func (t *threads) each(n, grain int, f func(worker, from, to int)) {
	if n == 0 {
		return
	}
	grain = max(grain, 1)
	if t.n == 1 || n <= grain {
		f(0, 0, n)
		return
	}
	var next atomic.Int64
	run := func(worker int) {
		for {
			from := int(next.Add(int64(grain))) - grain
			if from >= n {
				return
			}
			f(worker, from, min(from+grain, n))
		}
	}
	helpers := min(t.n, (n+grain-1)/grain) - 1
	t.wait.Add(helpers)
	for range helpers {
		t.work <- run
	}
	run(0)
	t.wait.Wait()
}

func (t *threads) close() { close(t.work) }
