package dataset

import (
	"context"
	"runtime"
	"sync"
)

// inOrder calls do for everything that feed emits, several at once, and take for the
// results one at a time in the order of feed. It holds two results for each processor.
func inOrder[T, R any](ctx context.Context, feed func(ctx context.Context, emit func(T) error) error, do func(T) (R, error), take func(R) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type result struct {
		r   R
		err error
	}
	n := runtime.GOMAXPROCS(0)
	queue := make(chan chan result, n)
	slots := make(chan struct{}, n)
	var fed error
	var running sync.WaitGroup
	running.Add(1)
	go func() {
		defer running.Done()
		defer close(queue)
		fed = feed(ctx, func(t T) error {
			out := make(chan result, 1)
			select {
			case queue <- out:
			case <-ctx.Done():
				return ctx.Err()
			}
			slots <- struct{}{}
			running.Add(1)
			go func() {
				defer running.Done()
				defer func() { <-slots }()
				r, err := do(t)
				out <- result{r, err}
			}()
			return nil
		})
	}()
	var failed error
	for out := range queue {
		if failed != nil {
			continue
		}
		select {
		case res := <-out:
			if failed = res.err; failed == nil {
				failed = take(res.r)
			}
		case <-ctx.Done():
			failed = ctx.Err()
		}
		if failed != nil {
			cancel()
		}
	}
	running.Wait()
	if failed != nil {
		return failed
	}
	return fed
}
