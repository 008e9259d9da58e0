package answer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/big"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	"github.com/cantus-network/cantus/work"
)

// MaxProof bounds the JSON of a Proof: a task and a result in base64, and the rest.
const MaxProof = (claim.MaxTaskBytes+claim.MaxResultBytes)/3*4 + 64<<10

// ErrProof marks a proof that does not show what it says.
var ErrProof = errors.New("the proof does not hold")

// Proof is an answer's receipt with everything that it was signed over: the `cantus` field
// of an answer. What is in it twice must agree.
type Proof struct {
	Version int             `json:"version"`
	Chain   string          `json:"chain"`
	Job     work.JobID      `json:"job"`
	Seq     uint64          `json:"seq"`
	Worker  work.PublicKey  `json:"worker"`
	Model   artifact.Digest `json:"model"` // root of its file
	Name    string          `json:"name"`  // by which the tab knows it
	Spec    artifact.Digest `json:"spec"`  // of the tab

	PromptUnits uint64 `json:"prompt_units"` // of a token, as the tab says
	OutputUnits uint64 `json:"output_units"`
	Units       uint64 `json:"units"`
	Price       string `json:"price,omitempty"` // of a unit, in anote, when it was asked; for people

	Receipt []byte `json:"receipt"` // work.SignedReceipt
	Task    []byte `json:"task"`    // claim.Task
	Result  []byte `json:"result"`  // claim.Result
}

// New makes the proof of a task that was done. It does not check it.
func New(spec artifact.Digest, m tab.Model, price string, receipt, task, result []byte) (*Proof, error) {
	r, err := work.DecodeReceipt(receipt)
	if err != nil {
		return nil, err
	}
	p := &Proof{
		Version: tab.Version, Chain: r.Receipt.Chain, Job: r.Receipt.Job, Seq: r.Receipt.Seq, Worker: r.Receipt.Worker,
		Model: m.Root, Name: m.Name, Spec: spec, PromptUnits: m.PromptUnits, OutputUnits: m.OutputUnits,
		Units: r.Receipt.Units, Price: price, Receipt: receipt, Task: task, Result: result,
	}
	return p, nil
}

// Parse reads a proof as JSON. Its fields may come in any order, for programs that pass an
// answer on reorder them; all must be there, and no others.
func Parse(b []byte) (*Proof, error) {
	if len(b) > MaxProof {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrProof, len(b), MaxProof)
	}
	p := new(Proof)
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(p); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: something follows it", ErrProof)
	}
	if p.Version != tab.Version {
		return nil, fmt.Errorf("%w: version %d: this program knows version %d", ErrProof, p.Version, tab.Version)
	}
	return p, nil
}

// Claim is what was asked and what came of it.
func (p *Proof) Claim() (*claim.Task, *claim.Result, error) {
	t, err := claim.DecodeTask(p.Task)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	r, err := claim.DecodeResult(p.Result)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", ErrProof, err)
	}
	return t, r, nil
}

// Signed is the worker's receipt.
func (p *Proof) Signed() (work.SignedReceipt, error) {
	s, err := work.DecodeReceipt(p.Receipt)
	if err != nil {
		return s, fmt.Errorf("%w: %w", ErrProof, err)
	}
	return s, nil
}

// Check checks without a network all that can be: that the worker signed that this task has
// this result and costs this much, and that the result has the form that its task asks for.
// What is left to believe is that the worker did not lie (Replay), that it is bonded on the
// ledger under this key, and that the tab is what CheckSpec takes it for.
func (p *Proof) Check() error {
	s, err := p.Signed()
	if err != nil {
		return err
	}
	if err := s.Verify(); err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	t, r, err := p.Claim()
	if err != nil {
		return err
	}
	bad := func(format string, a ...any) error {
		return fmt.Errorf("%w: %s", ErrProof, fmt.Sprintf(format, a...))
	}
	receipt := s.Receipt
	m := tab.Model{Root: p.Model, Name: p.Name, PromptUnits: p.PromptUnits, OutputUnits: p.OutputUnits}
	switch {
	case receipt.Chain != p.Chain || receipt.Job != p.Job || receipt.Seq != p.Seq || receipt.Worker != p.Worker || receipt.Units != p.Units:
		return bad("the receipt is worker %s's for task %d of job %d on %q over %d units, and the proof says otherwise",
			receipt.Worker.Short(), receipt.Seq, receipt.Job, receipt.Chain, receipt.Units)
	case receipt.Task != work.Task{Job: p.Job, Seq: p.Seq, Body: p.Task}.DigestOf(p.Spec):
		return bad("the receipt is for another task")
	case receipt.Result != artifact.Sum(p.Result):
		return bad("the receipt is for another result")
	case artifact.Digest(t.Model) != p.Model:
		return bad("the task is for model %x", t.Model)
	case p.PromptUnits == 0 || p.PromptUnits > tab.MaxPrice || p.OutputUnits == 0 || p.OutputUnits > tab.MaxPrice:
		return bad("tokens cost %d and %d units: must be from 1 to %d", p.PromptUnits, p.OutputUnits, tab.MaxPrice)
	}
	if err := r.Check(t); err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	if units := m.Units(t, r); units != p.Units {
		return bad("%d tokens of prompt and %d of answer cost %d units, and the receipt says %d", len(t.Prompt), len(r.Output), units, p.Units)
	}
	if p.Price != "" {
		if n, ok := new(big.Int).SetString(p.Price, 10); !ok || n.Sign() < 0 || n.String() != p.Price || len(p.Price) > 40 {
			return bad("the price of a unit is %.50q: want a whole number of anote", p.Price)
		}
	}
	return nil
}

// CheckSpec checks that the model, its name and its prices are those of the tab with this
// spec, whose digest the ledger has with the job.
func (p *Proof) CheckSpec(spec []byte) error {
	if artifact.Sum(spec) != p.Spec {
		return fmt.Errorf("%w: it is of a tab with spec %s", ErrProof, p.Spec)
	}
	s, err := tab.Decode(spec)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProof, err)
	}
	m, ok := s.Model(p.Model)
	if !ok || m.Name != p.Name || m.PromptUnits != p.PromptUnits || m.OutputUnits != p.OutputUnits {
		return fmt.Errorf("%w: the tab says otherwise about model %s", ErrProof, p.Model)
	}
	return nil
}

// Cost is what the answer cost in anote; ok is false where the price is not known.
func (p *Proof) Cost() (anote *big.Int, ok bool) {
	n, ok := new(big.Int).SetString(p.Price, 10)
	if !ok {
		return nil, false
	}
	return n.Mul(n, new(big.Int).SetUint64(p.Units)), true
}
