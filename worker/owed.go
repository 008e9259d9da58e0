package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/witness"
)

// watched is what the eye remembers of a job between two looks; all of it can be found out
// again.
type watched struct {
	shown   uint64    // the newest epoch whose tree was seen to pay what it should
	tries   int       // proofs asked for in vain since then
	asked   time.Time // when the last one was
	settled time.Time // since when the job is final, by this worker's clock
	next    time.Time // nothing can have changed before
}

const (
	// proofTries is how often a gateway is asked for a proof before its silence counts.
	proofTries = 3
	// blindEvery is how often a worker challenges a gateway against which it has no proof:
	// one that is honest and hides its proofs could win such a challenge, and with it the
	// operator's deposit.
	blindEvery = 24 * time.Hour
	maxProof   = 64 << 10
)

// account looks after every promise of a party: each is to be found in the epoch that it
// names, or is challenged, and is claimed in the end.
func (e *eye) account(ctx context.Context, l *link) (time.Duration, error) {
	soonest := e.w.cfg.LedgerEvery
	now := time.Now()
	for job, a := range l.durable.promised() {
		id := jobID{l, job}
		seen := e.jobs[id]
		if seen == nil {
			seen = &watched{}
			e.jobs[id] = seen
		}
		if now.Before(seen.next) {
			soonest = min(soonest, seen.next.Sub(now))
			continue
		}
		wait, over, err := e.accountOne(ctx, l, job, a, seen)
		if err != nil {
			return 0, err
		}
		if over {
			delete(e.jobs, id)
			if err := l.durable.note(recordOver, overRecord{Job: job, At: e.w.cfg.Now().Unix()}); err != nil {
				e.w.fail(err)
				return 0, err
			}
			continue
		}
		seen.next = now.Add(wait)
		soonest = min(soonest, wait)
	}
	return soonest, nil
}

// accountOne looks after the promise of one job. It returns when to look again, or that
// nothing is left to be done.
func (e *eye) accountOne(ctx context.Context, l *link, id work.JobID, a account, seen *watched) (wait time.Duration, over bool, err error) {
	log := l.log.With("job", id)
	v := a.voucher.Voucher
	job, err := e.ledger.Job(ctx, id)
	if errors.Is(err, witness.ErrNotFound) {
		return e.w.cfg.LedgerEvery, false, nil // a node that is behind
	}
	if err != nil {
		return 0, false, err
	}
	claimed, err := e.ledger.Claimed(ctx, id, e.w.cfg.Key.Public())
	if err != nil {
		return 0, false, err
	}
	if claimed.Forfeited || claimed.Units >= v.Units && job.Final() {
		return 0, true, nil
	}
	// The newest tree must hold what every voucher of an epoch up to it promised.
	newest := job.Epochs
	if job.Status == work.JobFaulted {
		newest = job.Settled // what came later is void
	}
	committed := v.Epoch <= newest
	idle := e.w.cfg.LedgerEvery
	switch {
	case committed && seen.shown >= newest:
	case newest > 0 && (committed || !job.MayCommit(e.head.Height, e.params)):
		return e.compare(ctx, log, l, job, newest, a, claimed, seen)
	case newest == 0 && !job.MayCommit(e.head.Height, e.params):
		// Nothing was committed at all, and nothing can be.
		return e.challenge(ctx, log, l, job, a, claimed, seen, false)
	}
	if job.Final() {
		return e.claim(ctx, log, l, job, a, claimed, seen)
	}
	return idle, false, nil
}

// compare looks whether the tree of an epoch pays what the voucher promised.
func (e *eye) compare(ctx context.Context, log *slog.Logger, l *link, job witness.Job, number uint64, a account, claimed witness.Claimed, seen *watched) (time.Duration, bool, error) {
	v := a.voucher.Voucher
	epoch, err := e.ledger.Epoch(ctx, job.ID, number)
	if err != nil {
		return 0, false, err
	}
	proof, err := e.prove(ctx, l, a, epoch)
	if err == nil {
		seen.tries = 0
		// Plants of its are in the tree, and nobody is paid for them.
		if payable(proof, claimed) >= v.Units {
			seen.shown = number
			if job.Final() {
				return e.claim(ctx, log, l, job, a, claimed, seen)
			}
			return e.w.cfg.LedgerEvery, false, nil
		}
		log.Error("THE GATEWAY COMMITTED LESS THAN IT PROMISED", "epoch", number, "promised", v.Units, "committed", payable(proof, claimed))
		return e.challenge(ctx, log, l, job, a, claimed, seen, false)
	}
	if ctx.Err() != nil {
		return 0, false, err
	}
	if time.Since(seen.asked) >= e.blockTime {
		seen.tries++
		seen.asked = time.Now()
	}
	log.Warn("ask for the proof of what an epoch pays", "epoch", number, "tries", seen.tries, "err", err)
	half := epoch.CommitHeight + e.params.ChallengeBlocks/2
	if v.Epoch > number {
		half = 0 // what was promised can't be committed any more: there is nothing to wait for
	}
	if seen.tries >= proofTries && e.head.Height >= half {
		return e.challenge(ctx, log, l, job, a, claimed, seen, v.Epoch <= number)
	}
	return max(min(e.until(half)/4, e.w.cfg.LedgerEvery), e.blockTime, lookSoon), false, nil
}

func payable(p proofRecord, c witness.Claimed) uint64 { return p.Units - min(p.Units, c.Plants) }

// prove gets the proof of what this worker has in an epoch's pay tree: the journal's, or
// the gateway's. A gateway that has no pay for this worker can't prove anything.
func (e *eye) prove(ctx context.Context, l *link, a account, epoch work.Epoch) (proofRecord, error) {
	me := e.w.cfg.Key.Public()
	check := func(p proofRecord) error {
		_, err := p.proof().Verify(epoch.Pay, work.PayLeaf(me, p.Units))
		return err
	}
	if p := a.proof; p != nil && p.Epoch == epoch.Number && check(*p) == nil {
		return *p, nil
	}
	u, err := gatewayURL(l.where().url, e.w.cfg.Insecure)
	if err != nil {
		return proofRecord{}, err
	}
	b, err := e.w.get(ctx, e.w.dialTo(l.where()), u.JoinPath("v1/jobs", fmt.Sprint(uint64(epoch.Job)), "epochs", fmt.Sprint(epoch.Number), "pay", me.String()), maxProof)
	if err != nil {
		return proofRecord{}, err
	}
	p, err := parsePay(b, epoch.Job, epoch.Number)
	if err != nil {
		return proofRecord{}, err
	}
	if err := check(p); err != nil {
		return proofRecord{}, fmt.Errorf("the gateway's proof: %w", err)
	}
	if err := l.durable.note(recordProof, p); err != nil {
		e.w.fail(err)
		return proofRecord{}, err
	}
	return p, nil
}

// parsePay reads a gateway's answer about a worker's pay.
func parsePay(b []byte, job work.JobID, epoch uint64) (proofRecord, error) {
	var r struct {
		Units uint64 `json:"units"`
		Proof struct {
			Index    uint64 `json:"index"`
			Siblings []struct {
				Hash artifact.Digest `json:"hash"`
				Sum  uint64          `json:"sum"`
			} `json:"siblings"`
		} `json:"proof"`
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return proofRecord{}, fmt.Errorf("read a proof of pay: %w", err)
	}
	if len(r.Proof.Siblings) > 64 {
		return proofRecord{}, fmt.Errorf("read a proof of pay: %d siblings, at most 64", len(r.Proof.Siblings))
	}
	p := proofRecord{Job: job, Epoch: epoch, Units: r.Units, Index: r.Proof.Index}
	for _, s := range r.Proof.Siblings {
		p.Path = append(p.Path, pathNode{Hash: work.Hash(s.Hash), Sum: s.Sum})
	}
	return p, nil
}

// challenged reports whether the newest voucher was taken to the ledger.
func (a account) challenged() bool {
	return slices.ContainsFunc(a.cases, func(c caseRecord) bool { return c.Sent && c.Units >= a.voucher.Voucher.Units })
}

// challenge takes a voucher to the ledger, once. blind means that nothing proves the
// gateway wrong.
func (e *eye) challenge(ctx context.Context, log *slog.Logger, l *link, job witness.Job, a account, claimed witness.Claimed, seen *watched, blind bool) (time.Duration, bool, error) {
	v := a.voucher.Voucher
	soon := max(10*e.blockTime, lookSoon)
	open, err := e.ledger.Challenged(ctx, job.ID, e.w.cfg.Key.Public())
	if err != nil {
		return 0, false, err
	}
	if open {
		return min(e.until(e.head.Height+e.params.AnswerBlocks/4), e.w.cfg.LedgerEvery), false, nil
	}
	if a.challenged() {
		// It was decided: the gateway showed the units, or its bond paid.
		if job.Final() {
			return e.claim(ctx, log, l, job, a, claimed, seen)
		}
		return e.w.cfg.LedgerEvery, false, nil
	}
	g, err := e.ledger.Gateway(ctx, job.Gateway)
	if err != nil {
		return 0, false, err
	}
	switch {
	case g.Gone:
		log.Error("THE GATEWAY IS GONE WITH ITS BOND, AND OWES", "units", v.Units)
		return 0, true, nil
	case !e.maySend():
		log.Error("there is no account to challenge with: run the key command and enrol the account, or challenge with `vouchers`", "units", v.Units)
		return e.w.cfg.LedgerEvery, false, nil
	case blind && e.challengedBlindly(l):
		return e.w.cfg.LedgerEvery, false, nil
	case !e.due(jobID{l, job.ID}):
		return soon, false, nil
	}
	encoded, err := a.voucher.Encode()
	if err != nil {
		return 0, false, err
	}
	c := caseRecord{Job: job.ID, Units: v.Units, Blind: blind, At: e.w.cfg.Now().Unix()}
	if err := l.durable.note(recordCase, c); err != nil {
		e.w.fail(err)
		return 0, false, err
	}
	account := e.ledger.Account().Address()
	err = e.send(ctx, log, "challenge_voucher", witness.Exec(account, witness.ChallengeVoucher(e.operator, encoded)))
	e.failed(jobID{l, job.ID}, err)
	if err != nil {
		return soon, false, nil
	}
	log.Error("CHALLENGED THE GATEWAY: it must show on the ledger that it commits what it promised, or pays from its bond", "units", v.Units, "no_proof", blind)
	c.Sent = true
	if err := l.durable.note(recordCase, c); err != nil {
		e.w.fail(err)
		return 0, false, err
	}
	return soon, false, nil
}

// challengedBlindly reports whether the party was challenged without proof of late.
func (e *eye) challengedBlindly(l *link) bool {
	since := e.w.cfg.Now().Add(-blindEvery).Unix()
	for _, a := range l.durable.promised() {
		for _, c := range a.cases {
			if c.Blind && c.Sent && c.At > since {
				return true
			}
		}
	}
	return false
}

// claim has the operator paid if the gateway doesn't see to it. The job is final.
func (e *eye) claim(ctx context.Context, log *slog.Logger, l *link, job witness.Job, a account, claimed witness.Claimed, seen *watched) (time.Duration, bool, error) {
	if seen.settled.IsZero() {
		seen.settled = time.Now()
	}
	if left := e.w.cfg.ClaimAfter - time.Since(seen.settled); left > 0 {
		return min(left, e.w.cfg.LedgerEvery), false, nil
	}
	if job.Settled == 0 {
		return e.w.cfg.LedgerEvery, a.challenged(), nil // a challenge is all that there is
	}
	epoch, err := e.ledger.Epoch(ctx, job.ID, job.Settled)
	if err != nil {
		return 0, false, err
	}
	p, err := e.prove(ctx, l, a, epoch)
	if err != nil && a.proof != nil && a.proof.Epoch < job.Settled {
		p, err = *a.proof, nil // an earlier tree pays less, but pays
	}
	switch {
	case err != nil:
		log.Warn("claim: there is no proof of what a settled job owes", "epoch", job.Settled, "err", err)
		return e.w.cfg.LedgerEvery, false, nil
	case payable(p, claimed) <= claimed.Units:
		return e.w.cfg.LedgerEvery, p.Epoch == job.Settled && (payable(p, claimed) >= a.voucher.Voucher.Units || a.challenged()), nil
	case !e.maySend() || !e.due(jobID{l, job.ID}):
		return e.w.cfg.LedgerEvery, false, nil
	}
	e.failed(jobID{l, job.ID}, e.send(ctx, log, "claim", witness.Claim(e.ledger.Account().Address(), job.ID, p.Epoch,
		witness.PayProof{Worker: e.w.cfg.Key.Public(), Units: p.Units, Proof: p.proof()})))
	return max(10*e.blockTime, lookSoon), false, nil
}
