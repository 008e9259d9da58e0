package worker

import (
	"context"
	"log/slog"
	"time"

	"github.com/cantus-network/cantus/worker/witness"
)

// bearings is what whoever looks at the ledger knows of where it is, and of what is to be
// tried again. It is of one goroutine.
type bearings struct {
	w      *Worker
	ledger *witness.Ledger

	operator  string
	params    witness.Params
	paramsAt  time.Time
	head      witness.Head
	headAt    time.Time // when the head came
	oriented  time.Time // when it was asked for
	blockTime time.Duration
	measured  bool // blockTime is no guess
	later     map[any]retry
}

// retry is when something that failed is tried again.
type retry struct {
	at   time.Time
	wait pause
}

const (
	paramsEvery = 10 * time.Minute
	// lookSoon is how long one who looks rests at least.
	lookSoon = 200 * time.Millisecond
)

func newBearings(w *Worker, l *witness.Ledger) bearings {
	return bearings{w: w, ledger: l, blockTime: 2 * time.Second, later: map[any]retry{}}
}

// enlist finds out for whom the worker works, which never changes.
func (b *bearings) enlist(ctx context.Context) (err error) {
	if b.operator == "" {
		b.operator, err = b.ledger.Operator(ctx, b.w.cfg.Key.Public())
	}
	return err
}

// orient finds out where the ledger is, how fast its blocks come and what its rules are.
func (b *bearings) orient(ctx context.Context) error {
	head, err := b.ledger.Head(ctx)
	if err != nil {
		return err
	}
	now := time.Now()
	b.oriented = now
	if n := head.Height - b.head.Height; !b.headAt.IsZero() && n > 0 && head.Chain == b.head.Chain {
		took := now.Sub(b.headAt) / time.Duration(n)
		if b.measured {
			took = (b.blockTime + took) / 2
		}
		b.blockTime, b.measured = min(max(took, 50*time.Millisecond), time.Minute), true
	}
	if head != b.head {
		b.head, b.headAt = head, now
	}
	if now.Sub(b.paramsAt) > paramsEvery {
		if b.params, err = b.ledger.Params(ctx); err != nil {
			return err
		}
		b.paramsAt = now
		b.w.refereed.Store(&b.params.RefereedKinds)
	}
	return nil
}

// until is how long it takes to a height.
func (b *bearings) until(height int64) time.Duration {
	return max(time.Duration(height-b.head.Height)*b.blockTime, 0)
}

// due reports whether something that failed before may be tried again.
func (b *bearings) due(what any) bool {
	r, failed := b.later[what]
	return !failed || time.Now().After(r.at)
}

// failed notes a failure; nil forgets earlier ones.
func (b *bearings) failed(what any, err error) {
	if err == nil {
		delete(b.later, what)
		return
	}
	r, ok := b.later[what]
	if !ok {
		r.wait = pause{min: time.Second, max: b.patience()}
	}
	r.at = time.Now().Add(r.wait.step())
	b.later[what] = r
}

// send sends messages at the operator's cost.
func (b *bearings) send(ctx context.Context, log *slog.Logger, what string, msg witness.Msg) error {
	err := b.ledger.Send(ctx, b.operator, msg)
	outcome := "done"
	if err != nil {
		outcome = "failed"
		log.Error("send to the ledger", "message", what, "err", err)
	} else {
		log.Warn("sent to the ledger", "message", what)
	}
	b.w.metrics.sent.WithLabelValues(what, outcome).Inc()
	return err
}

// patience is how long is waited at most before something that failed is tried again: a
// small part of the shortest time that a party of a dispute has.
func (b *bearings) patience() time.Duration {
	if n := b.params.DisputeMoveBlocks; n > 0 {
		return min(max(time.Duration(n)*b.blockTime/8, time.Second), 5*time.Minute)
	}
	return 5 * time.Minute
}

// maySend reports whether there is an account to send with.
func (b *bearings) maySend() bool { return b.ledger.Account() != nil }
