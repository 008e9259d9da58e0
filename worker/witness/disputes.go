package witness

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// MaxDisputed is how many bytes the body of a disputed result may have.
const MaxDisputed = 256 << 10

// DisputeStatus is where a dispute is in its life.
type DisputeStatus string

const (
	DisputeAsked      DisputeStatus = "asked"      // the worker must name its trace
	DisputeDescending DisputeStatus = "descending" // both must show the children of their node
	DisputeDeciding   DisputeStatus = "deciding"   // somebody must open the step
	DisputeAgreed     DisputeStatus = "agreed"     // somebody must show that the trace contradicts the result
	DisputeWon        DisputeStatus = "won"        // by the challenger
	DisputeLost       DisputeStatus = "lost"       // by the challenger
	DisputeMoot       DisputeStatus = "moot"
)

// Dispute is a claim that a worker's receipt is false, and how far that is.
type Dispute struct {
	ID         uint64
	Job        work.JobID
	Epoch      uint64
	Worker     work.PublicKey // that signed the receipt
	Challenger string
	Status     DisputeStatus
	Kind       work.Name
	// Of the two traces; the worker's is zero until it answered.
	WorkerRoot, ChallengerRoot artifact.Digest
	// Where the parties are, and who has shown the children there.
	Level                        uint32
	Node                         uint64
	WorkerShown, ChallengerShown bool
	Deadline                     int64  // of the present move
	Reason                       string // how it ended
	Proved                       bool   // by the ledger's own computation
}

// Over reports whether the dispute has ended.
func (d Dispute) Over() bool {
	return d.Status == DisputeWon || d.Status == DisputeLost || d.Status == DisputeMoot
}

// Exhibit is what an open dispute is about.
type Exhibit struct {
	Receipt []byte // signed
	Task    []byte // the bodies that it is over
	Result  []byte
}

var disputeStatuses = map[string]DisputeStatus{
	"DISPUTE_STATUS_ASKED": DisputeAsked, "DISPUTE_STATUS_DESCENDING": DisputeDescending, "DISPUTE_STATUS_DECIDING": DisputeDeciding,
	"DISPUTE_STATUS_AGREED": DisputeAgreed, "DISPUTE_STATUS_WON": DisputeWon, "DISPUTE_STATUS_LOST": DisputeLost, "DISPUTE_STATUS_MOOT": DisputeMoot,
}

type disputeRecord struct {
	ID              natural   `json:"id"`
	Job             natural   `json:"job"`
	Epoch           natural   `json:"epoch"`
	Worker          []byte    `json:"worker"`
	Challenger      string    `json:"challenger"`
	Status          string    `json:"status"`
	Kind            work.Name `json:"kind"`
	WorkerRoot      []byte    `json:"worker_root"`
	ChallengerRoot  []byte    `json:"challenger_root"`
	Level           uint32    `json:"level"`
	Node            natural   `json:"node"`
	WorkerShown     [][]byte  `json:"worker_children"`
	ChallengerShown [][]byte  `json:"challenger_children"`
	Deadline        number    `json:"deadline"`
	Reason          string    `json:"reason"`
	Proved          bool      `json:"proved"`
}

func (r disputeRecord) plain() (Dispute, error) {
	d := Dispute{
		ID: uint64(r.ID), Job: work.JobID(r.Job), Epoch: uint64(r.Epoch), Challenger: r.Challenger, Status: disputeStatuses[r.Status],
		Kind: r.Kind, Level: r.Level, Node: uint64(r.Node), WorkerShown: len(r.WorkerShown) > 0, ChallengerShown: len(r.ChallengerShown) > 0,
		Deadline: int64(r.Deadline), Reason: clean(r.Reason), Proved: r.Proved,
	}
	var err error
	if d.Worker, err = work.KeyFromBytes(r.Worker); err != nil {
		return d, fmt.Errorf("its worker: %w", err)
	}
	if d.ChallengerRoot, err = artifact.DigestFromBytes(r.ChallengerRoot); err != nil {
		return d, fmt.Errorf("the challenger's root: %w", err)
	}
	if len(r.WorkerRoot) > 0 {
		if d.WorkerRoot, err = artifact.DigestFromBytes(r.WorkerRoot); err != nil {
			return d, fmt.Errorf("the worker's root: %w", err)
		}
	}
	if err := r.Kind.Check(); err != nil {
		return d, err
	}
	switch {
	case d.ID == 0:
		return d, errors.New("it has no number")
	case d.Status == "":
		return d, fmt.Errorf("status %.40q is unknown to this version", r.Status)
	case d.Level > 64:
		return d, fmt.Errorf("level %d", d.Level)
	}
	return d, CheckAddress(d.Challenger)
}

// Disputed says which open disputes are meant, by one of its fields.
type Disputed struct {
	Worker     work.PublicKey // whose receipts are disputed
	Job        work.JobID
	Challenger string
}

// maxDisputes bounds a page of disputes, which are some KiB each: the oldest come first, and
// others when those are over.
const maxDisputes = 500

// Disputes reads open disputes. A ledger that knows none has none.
func (l *Ledger) Disputes(ctx context.Context, of Disputed) ([]Dispute, error) {
	q := url.Values{"open": {"true"}, "pagination.limit": {fmt.Sprint(maxDisputes)}}
	what := "the disputes"
	switch {
	case !of.Worker.IsZero():
		q.Set("worker", of.Worker.String())
		what = "the disputes about worker " + of.Worker.Short()
	case of.Job != 0:
		q.Set("job", fmt.Sprint(uint64(of.Job)))
		what = fmt.Sprintf("the disputes in job %d", of.Job)
	case of.Challenger != "":
		q.Set("challenger", of.Challenger)
		what = "the disputes of " + of.Challenger
	}
	var r struct {
		Disputes []disputeRecord `json:"disputes"`
	}
	err := l.get(ctx, &r, "cantus/work/v1/disputes?"+q.Encode())
	if refused := new(Refused); errors.Is(err, ErrNotFound) || errors.As(err, &refused) && refused.Code == codeUnimplemented {
		return nil, nil // a node of an earlier version
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", what, err)
	}
	if len(r.Disputes) > maxDisputes {
		return nil, bad(what, fmt.Errorf("%d on a page, at most %d", len(r.Disputes), maxDisputes))
	}
	list := make([]Dispute, 0, len(r.Disputes))
	for i, x := range r.Disputes {
		d, err := x.plain()
		if err != nil {
			// The others are to be defended all the same.
			l.opts.Log.Error("a dispute on the ledger can't be read: is this program too old?", "among", what, "number", i, "id", uint64(x.ID), "err", err)
			continue
		}
		// Whatever the node thinks was asked for.
		if d.Over() || !of.Worker.IsZero() && d.Worker != of.Worker || of.Job != 0 && d.Job != of.Job || of.Challenger != "" && d.Challenger != of.Challenger {
			continue
		}
		list = append(list, d)
	}
	return list, nil
}

// Dispute reads a dispute, and what it is about while it is open.
func (l *Ledger) Dispute(ctx context.Context, id uint64) (Dispute, Exhibit, error) {
	var r struct {
		Dispute disputeRecord `json:"dispute"`
		Exhibit struct {
			Receipt []byte `json:"receipt"`
			Task    []byte `json:"task"`
			Result  []byte `json:"result"`
		} `json:"exhibit"`
	}
	what := fmt.Sprintf("dispute %d", id)
	if err := l.get(ctx, &r, "cantus/work/v1/disputes", fmt.Sprint(id)); err != nil {
		return Dispute{}, Exhibit{}, fmt.Errorf("read %s: %w", what, err)
	}
	d, err := r.Dispute.plain()
	x := Exhibit(r.Exhibit)
	switch {
	case err != nil:
	case d.ID != id:
		err = fmt.Errorf("it is dispute %d", d.ID)
	case len(x.Receipt) > work.MaxReceipt || len(x.Task) > work.MaxTask || len(x.Result) > work.MaxResult:
		err = fmt.Errorf("a receipt of %d bytes, a task of %d and a result of %d", len(x.Receipt), len(x.Task), len(x.Result))
	}
	if err != nil {
		return Dispute{}, Exhibit{}, bad(what, err)
	}
	return d, x, nil
}
