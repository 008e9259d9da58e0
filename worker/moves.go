package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/witness"
)

// moveID names a move, so that one that failed is not tried again at once.
type moveID struct {
	dispute uint64
	what    string
	level   uint32
	node    uint64
}

// moveIn makes the worker's move in a dispute.
func (a *advocate) moveIn(d witness.Dispute, t *trial, what string) move {
	log := a.logOf(d, t.role)
	chain, account, role, sure := a.head.Chain, a.account(), t.role, t.sure
	return move{
		key: moveID{d.ID, what, d.Level, d.Node}, deadline: d.Deadline, trace: t.key, log: log, what: what,
		do: func(ctx context.Context) (func(), error) {
			s, err := a.read(ctx, d)
			if err != nil {
				return nil, err
			}
			began := time.Now()
			said, err := useTrace(ctx, a.traces, s, func(ctx context.Context, tr work.Trace) (statement, error) {
				st, err := a.compute(ctx, tr, d, role, what, chain, account)
				if err == nil && st.concede != "" && !sure {
					err = fmt.Errorf("%w: %s", errUnsure, st.concede)
				}
				return st, err
			})
			then := func() {
				t.key = s.key()
				if errors.Is(err, errUnsure) {
					t.sure = true // if it comes out alike once more
				}
				if err == nil && said.concede != "" {
					t.silent = said.concede
					log.Error(said.concede, "task", s.receipt.Seq, "deadline", d.Deadline)
				}
			}
			if err != nil || said.concede != "" {
				return then, err
			}
			log.Info("moves in a dispute", "move", what, "level", d.Level, "node", d.Node, "computed_in", time.Since(began).Round(time.Millisecond))
			sent := a.send(ctx, log, what, said.msg)
			return then, sent
		},
	}
}

// statement is a message to the ledger, or why there is none.
type statement struct {
	msg     witness.Msg
	concede string
}

// errUnsure means that a dispute looks lost. That is computed twice before it is given up: the
// fault that makes it look so may be of now.
var errUnsure = errors.New("this worker computes it once more before it gives up")

func (a *advocate) account() string {
	if !a.maySend() {
		return ""
	}
	return a.ledger.Account().Address()
}

// compute makes the message of a move, or says why there is none.
func (a *advocate) compute(ctx context.Context, tr work.Trace, d witness.Dispute, r role, what, chain, account string) (statement, error) {
	root, err := tr.Root(ctx)
	if errors.Is(err, work.ErrNoTrace) {
		return statement{concede: "THIS WORKER CAN'T DEFEND A RESULT THAT NO COMPUTATION OF ITS TASK GIVES"}, nil
	}
	if err != nil {
		return statement{}, fmt.Errorf("compute a trace: %w", err)
	}
	if committed := committed(d, r); what != moveAnswer && committed != root {
		return statement{concede: fmt.Sprintf("THIS WORKER SAYS NO MORE IN A DISPUTE: its part named the trace %s, and what it computes is %s: another program, or another machine, spoke for it", committed, root)}, nil
	}
	switch what {
	case moveAnswer:
		position, _, found, err := tr.Contradiction(ctx)
		if err != nil {
			return statement{}, fmt.Errorf("hold the result against its trace: %w", err)
		}
		if found {
			// To go on would cost fees and time and end the same way.
			return statement{concede: fmt.Sprintf("THE DISPUTED RESULT OF THIS WORKER IS FALSE, at position %d: it concedes by saying nothing, and loses a part of its bond. "+
				"Stop it and check this machine's memory, processor and models", position)}, nil
		}
		signature, err := a.w.cfg.Key.SignTrace(work.TraceID{Chain: chain, Dispute: d.ID}, root)
		return statement{msg: witness.AnswerDispute(account, d.ID, root, signature)}, err
	case moveDescend:
		children, err := tr.Children(ctx, d.Level, d.Node)
		if err != nil {
			return statement{}, fmt.Errorf("compute the children of node %d of level %d: %w", d.Node, d.Level, err)
		}
		return statement{msg: witness.Descend(account, d.ID, d.Level, d.Node, children)}, nil
	case moveDecide:
		opening, err := tr.Open(ctx, d.Node)
		if err != nil {
			return statement{}, fmt.Errorf("open step %d: %w", d.Node, err)
		}
		return statement{msg: witness.Decide(account, d.ID, opening)}, nil
	case moveContradict:
		position, opening, found, err := tr.Contradiction(ctx)
		if err != nil {
			return statement{}, fmt.Errorf("hold the result against its trace: %w", err)
		}
		if !found {
			return statement{concede: "THIS WORKER DISPUTES A RESULT THAT IS TRUE, as its own trace shows: it says no more"}, nil
		}
		return statement{msg: witness.Contradict(account, d.ID, position, opening)}, nil
	}
	return statement{}, fmt.Errorf("unknown move %q", what)
}

// committed is the root that a party named.
func committed(d witness.Dispute, r role) artifact.Digest {
	if r == accused {
		return d.WorkerRoot
	}
	return d.ChallengerRoot
}

// suspicion is what is remembered of a doubt; all of it can be found out again.
type suspicion struct {
	link    *link
	key     traceKey
	root    artifact.Digest // of the trace, once it was computed
	atSight bool            // the result is false without one
	nothing string          // why it can't be proved false
	friends map[uint64]bool // disputes: whether they are about this receipt
	late    bool            // it was said that the window is over
	next    time.Time       // nothing can have changed before
}

// weigh goes through the receipts that the worker found false and returns what to do about them.
func (a *advocate) weigh(ctx context.Context) ([]move, error) {
	var moves []move
	there := map[sampleID]bool{}
	for _, l := range a.w.allLinks() {
		if l.party.chain != a.head.Chain {
			continue
		}
		for _, d := range l.durable.openDoubts() {
			there[d.id()] = true
			s := a.doubted[d.id()]
			if s == nil {
				s = &suspicion{link: l, key: traceKey{d.Kind, d.Task, d.Result}, friends: map[uint64]bool{}}
				a.doubted[d.id()] = s
			}
			if time.Now().Before(s.next) {
				continue
			}
			more, err := a.weighOne(ctx, l, d, s)
			if err != nil {
				return nil, err
			}
			moves = append(moves, more...)
		}
	}
	for id := range a.doubted {
		if !there[id] {
			delete(a.doubted, id)
		}
	}
	return moves, nil
}

// weighOne decides what to do about a receipt that the worker found false.
func (a *advocate) weighOne(ctx context.Context, l *link, d doubtRecord, s *suspicion) ([]move, error) {
	log := l.log.With("job", d.Job, "epoch", d.Epoch, "sample", d.Sample)
	for _, t := range a.trials {
		if t.role == challenger && t.sample == d.id() {
			t.key = s.key
			l.dropDoubt(d) // from here on the ledger has it
			return nil, nil
		}
	}
	epoch, err := a.ledger.Epoch(ctx, d.Job, d.Epoch)
	if errors.Is(err, witness.ErrNotFound) {
		return nil, nil // a node that is behind
	}
	if err != nil {
		return nil, err
	}
	over := epoch.Status == work.EpochSettled || epoch.Status == work.EpochVoid
	if int64(d.Sample) >= int64(len(epoch.Samples)) {
		if over {
			l.dropDoubt(d)
		}
		return nil, nil
	}
	sample := epoch.Samples[d.Sample]
	switch sample.Status {
	case work.SampleDrawn, work.SampleOpened, work.SampleRevealing:
		s.next = time.Now().Add(min(2*a.blockTime, a.w.cfg.LedgerEvery))
		return nil, nil
	case work.SampleAccused:
	default:
		over = true
	}
	if over || sample.Plant || !foundFalse(sample, a.w.cfg.Key.Public()) {
		log.Debug("nothing is left to be proved of a receipt that was found false", "status", sample.Status)
		l.dropDoubt(d)
		return nil, nil
	}
	if epoch.Status != work.EpochDecided || s.nothing != "" {
		return nil, nil
	}
	if s.root.IsZero() {
		return []move{a.inspect(l, d, s, sample.Receipt, epoch.DisputeUntil)}, nil
	}
	return a.oppose(ctx, l, d, s, epoch)
}

// subjectOf gets what a doubt is about from the disk.
func (l *link) subjectOf(d doubtRecord, receipt []byte) (subject, error) {
	task, err := l.spool.get(d.Task)
	if err != nil {
		return subject{}, fmt.Errorf("the task that was done wrongly: %w", err)
	}
	result, err := l.spool.get(d.Result)
	if err != nil {
		return subject{}, fmt.Errorf("the result that was found false: %w", err)
	}
	return newSubject(d.Kind, receipt, task, result)
}

// inspect finds out whether the ledger would find a receipt false.
func (a *advocate) inspect(l *link, d doubtRecord, s *suspicion, receipt []byte, until int64) move {
	log := l.log.With("job", d.Job, "epoch", d.Epoch, "sample", d.Sample)
	return move{
		key: openID{d.id(), moveWeigh}, deadline: until, trace: s.key, opening: true, log: log, what: moveWeigh,
		do: func(ctx context.Context) (func(), error) {
			about, err := l.subjectOf(d, receipt)
			if err != nil {
				return nil, err
			}
			type finding struct {
				root           artifact.Digest
				found, atSight bool
			}
			v, err := useTrace(ctx, a.traces, about, func(ctx context.Context, tr work.Trace) (v finding, err error) {
				if v.root, err = tr.Root(ctx); errors.Is(err, work.ErrNoTrace) {
					// Any root does: the ledger doesn't look at it.
					return finding{artifact.Sum(about.result), true, true}, nil
				}
				if err == nil {
					_, _, v.found, err = tr.Contradiction(ctx)
				}
				return v, err
			})
			if err != nil {
				return nil, fmt.Errorf("compute the trace of a result that was found false: %w", err)
			}
			return func() {
				if s.root, s.atSight = v.root, v.atSight; !v.found {
					s.nothing = "its trace gives what the result says"
					log.Error("THIS AUDITOR FOUND A RECEIPT FALSE THAT IS TRUE: it disputes nothing, and is fined as outvoted", "task", about.receipt.Seq)
					l.dropDoubt(d)
				}
			}, nil
		},
	}
}

type openID struct {
	sample sampleID
	what   string
}

// oppose disputes a receipt that is false, unless another auditor does so with the same trace:
// then it helps that one.
func (a *advocate) oppose(ctx context.Context, l *link, d doubtRecord, s *suspicion, epoch work.Epoch) ([]move, error) {
	log := l.log.With("job", d.Job, "epoch", d.Epoch, "sample", d.Sample)
	sample := epoch.Samples[d.Sample]
	signed, err := work.DecodeReceipt(sample.Receipt)
	if err != nil {
		return nil, fmt.Errorf("sample %d of epoch %d of job %d: %w", d.Sample, d.Epoch, d.Job, err)
	}
	others, err := a.ledger.Disputes(ctx, witness.Disputed{Worker: signed.Receipt.Worker})
	if err != nil {
		return nil, err
	}
	var moves []move
	helped := false
	for _, o := range others {
		if o.Job != d.Job || o.Epoch != d.Epoch || o.ChallengerRoot != s.root || o.Challenger == a.operator {
			continue // whoever has another trace is no friend
		}
		same, known := s.friends[o.ID]
		if !known {
			_, x, err := a.ledger.Dispute(ctx, o.ID)
			if err != nil {
				return nil, err
			}
			same = string(x.Receipt) == string(sample.Receipt)
			s.friends[o.ID] = same
		}
		if same {
			helped = true
			moves = append(moves, a.speak(o, helper, d.id())...)
		}
	}
	from, turn := epoch.DisputeUntil-a.params.DisputeOpenBlocks, rank(sample, a.w.cfg.Key.Public())
	switch at := from + int64(turn)*a.params.DisputeOpenBlocks/(2*int64(len(sample.Slots))); {
	case helped:
		return moves, nil
	case a.head.Height+1 >= epoch.DisputeUntil:
		if !s.late {
			log.Error("A RECEIPT THAT IS FALSE WASN'T DISPUTED IN TIME: this auditor is fined as outvoted", "until", epoch.DisputeUntil)
		}
		s.late = true
		return nil, nil
	case a.head.Height < at:
		return nil, nil // others come first, so that not all put a deposit down
	}
	account, operator := a.account(), a.operator
	return []move{{
		key: openID{d.id(), moveOpen}, deadline: epoch.DisputeUntil, trace: s.key, opening: true, log: log, what: moveOpen,
		do: func(ctx context.Context) (func(), error) {
			about, err := l.subjectOf(d, sample.Receipt)
			if err != nil {
				return nil, err
			}
			head, err := useTrace(ctx, a.traces, about, func(ctx context.Context, tr work.Trace) ([]byte, error) { return tr.Head(ctx) })
			if err != nil {
				return nil, fmt.Errorf("show the head of what a result was computed with: %w", err)
			}
			err = a.send(ctx, log, moveOpen, witness.Exec(account, witness.OpenDispute(operator, witness.DisputedSample{
				Job: d.Job, Epoch: d.Epoch, Sample: d.Sample, Task: about.task, Result: about.result, Head: head, Root: s.root,
			})))
			if err != nil {
				return nil, fmt.Errorf("dispute a receipt that is false (the operator must have granted that when it enrolled the account, and have the deposit): %w", err)
			}
			return func() {
				log.Warn("DISPUTED A RECEIPT THAT IS FALSE", "of", signed.Receipt.Worker, "task", signed.Receipt.Seq, "at_sight", s.atSight)
				if s.atSight {
					a.w.metrics.disputes.WithLabelValues(string(challenger), "won").Inc()
				}
			}, nil
		},
	}}, nil
}

// rank is an auditor's place among those that found a sample false.
func rank(s work.Sample, auditor work.PublicKey) int {
	n := 0
	for _, slot := range s.Slots {
		if slot.Auditor == auditor {
			return n
		}
		if slot.Outcome == work.Fail {
			n++
		}
	}
	return n
}
