package scheduler_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/scheduler"
)

// TestClockGoesBack: a lease does not last an hour longer because somebody set the gateway's
// clock back by one, be the gateway started anew meanwhile or not.
func TestClockGoesBack(t *testing.T) {
	for _, restart := range []bool{false, true} {
		w := newWorld(t, nil)
		gone, ann := w.hand("gone"), w.hand("ann")
		id := w.job(countSpec{Tasks: 4, Bundle: 4, Units: 1}, 1<<40, 1<<30)
		w.phase(id, scheduler.PhaseRunning)
		require.Equal(t, 4, tasksIn(gone.lease(1)))
		w.clock.advance(-time.Hour)
		if restart {
			w.restart()
			w.opened(id)
		}
		require.Zero(t, tasksIn(ann.lease(1)), "it has its time all the same")
		w.clock.advance(6 * time.Minute) // four tasks of a minute, and the grace
		require.Equal(t, 4, tasksIn(ann.lease(1)), "restarted: %v", restart)
	}
}
