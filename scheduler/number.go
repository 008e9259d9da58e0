package scheduler

import (
	"encoding/binary"
	"fmt"
	"time"
)

// A number that is kept free says nothing about its neighbours: there is one at least behind
// every batch that the plan gives out, so a gap is where a plant is, where one could have been, or
// where a task was given up.
type spare struct {
	seq uint64
	at  time.Time // its neighbours were leased from then on
}

const maxSpares = 256

// setAside keeps the next number free for a plant, behind so many tasks; more of them where
// many plants are wanted. The caller holds j.mu and writes j.next.
func (j *job) setAside(tasks int, now time.Time) {
	if len(j.s.decoys) == 0 {
		return
	}
	p := &j.plants
	for range 1 + tasks*max(0, j.s.cfg.PlantBps)/10_000 {
		if len(p.spares) == maxSpares {
			p.spares = append(p.spares[:0], p.spares[1:]...)
		}
		p.spares = append(p.spares, spare{j.next, now})
		j.next++
	}
}

// spare takes the free number whose neighbours were leased last before a time; the oldest
// where there is none. The caller holds j.mu.
func (j *job) spare(before time.Time) (spare, bool) {
	p := &j.plants
	if len(p.spares) == 0 {
		return spare{}, false
	}
	i := 0
	for k, x := range p.spares {
		if !x.at.After(before) {
			i = k
		}
	}
	x := p.spares[i]
	p.spares = append(p.spares[:i], p.spares[i+1:]...)
	return x, true
}

// loadNumber reads which number comes next. Free numbers that were not used are lost.
func (j *job) loadNumber() error {
	b, err := j.s.store.get(jobKey(spaceNumber, j.id))
	if err != nil || b == nil {
		return err
	}
	if len(b) != 8 {
		return fmt.Errorf("%w: the next task's number has %d bytes", ErrCorrupt, len(b))
	}
	j.next = max(1, binary.BigEndian.Uint64(b))
	return nil
}
