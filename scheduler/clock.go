package scheduler

import (
	"sync"
	"time"
)

// clock is Config.Now made steady: it does not go back when somebody sets the machine's
// clock back. Deadlines and waits in memory go by it, so that such a step neither ends a
// lease nor keeps one alive. A step forward ends leases early at worst; with time.Now, whose
// times carry the time since the machine started, neither is noticed at all. What
// workers are told and what is written down is the machine's own time.
type clock struct {
	mu     sync.Mutex
	source func() time.Time
	last   time.Time     // that source said
	behind time.Duration // all steps back together
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.source()
	if back := c.last.Sub(t); back > 0 && !c.last.IsZero() {
		c.behind += back
	}
	c.last = t
	return t.Add(c.behind)
}

// wall is what the machine's clock shows, or will show, at a steady time.
func (c *clock) wall(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return t.Add(-c.behind)
}

// steady is the reverse.
func (c *clock) steady(wall time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return wall.Add(c.behind)
}

func (s *Scheduler) now() time.Time { return s.clock.now() }
