package measured

import (
	"errors"
	"fmt"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/work"
)

// ErrEvidence marks evidence from which its score does not follow.
var ErrEvidence = errors.New("evidence of a measured answer")

const maxEvidence = claim.MaxResultBytes + 4<<10

// Evidence is what an auditor saw: the alternatives at each place by its own backend. The
// score follows from it, the task and the result; that the backend said so is the auditor's
// word, which the next auditor's word stands against.
type Evidence struct {
	_       struct{} `cbor:",toarray"`
	Version uint8
	Model   artifact.Digest // the Descriptor's
	Task    artifact.Digest // of its body
	Result  artifact.Digest
	Score   int32  // thousandths of a nat
	Places  []byte // a claim.Result: the answer's tokens, each with the alternatives
}

// NewEvidence makes the evidence of a measurement.
func NewEvidence(model, task, result artifact.Digest, score int32, output []uint32, places []Place) ([]byte, error) {
	r := &claim.Result{Output: output}
	for _, p := range places {
		// One number for all places, so that they can be told apart.
		if len(p) < len(places[0]) {
			return nil, fmt.Errorf("%w: %d alternatives at a place and %d at another", ErrBackend, len(p), len(places[0]))
		}
		r.Top = append(r.Top, p[:len(places[0])]...)
	}
	b, err := r.Encode()
	if err != nil {
		return nil, err
	}
	return work.Encode(Evidence{Version: Version, Model: model, Task: task, Result: result, Score: score, Places: b})
}

// DecodeEvidence takes what NewEvidence gives and nothing else.
func DecodeEvidence(b []byte) (*Evidence, error) {
	e, err := work.Decode[Evidence](b, maxEvidence)
	if err == nil && e.Version != Version {
		err = fmt.Errorf("version %d: this program knows version %d", e.Version, Version)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	return &e, nil
}

// Check finds the score anew, from a task and a result, which are as the receipt has them.
func (e *Evidence) Check(d *Descriptor, task, result []byte) error {
	t, err := claim.DecodeTask(task)
	if err != nil {
		return err
	}
	r, err := claim.DecodeResult(result)
	if err != nil {
		return err
	}
	digest, err := d.Digest()
	if err != nil {
		return err
	}
	if err := Check(t, r); err != nil {
		return err
	}
	if e.Model != digest || artifact.Digest(t.Model) != digest || e.Task != artifact.Sum(task) || e.Result != artifact.Sum(result) {
		return fmt.Errorf("%w: it is of another answer", ErrEvidence)
	}
	saw, err := claim.DecodeResult(e.Places)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrEvidence, err)
	}
	if n := len(saw.Output); n != len(r.Output) || n > 0 && (len(saw.Top)%n != 0 || len(saw.Top) < n) {
		return fmt.Errorf("%w: %d alternatives at %d places of an answer of %d tokens", ErrEvidence, len(saw.Top), n, len(r.Output))
	}
	places := make([]Place, len(r.Output))
	for i := range places {
		places[i] = saw.TopOf(i)
		if err := places[i].check(); err != nil {
			return fmt.Errorf("%w: %w", ErrEvidence, err)
		}
	}
	m, err := Measure(t, r, places)
	if err != nil {
		return err
	}
	if is := d.Noise.Score(m); is != e.Score {
		return fmt.Errorf("%w: it gives %d thousandths of a nat, and says %d", ErrEvidence, is, e.Score)
	}
	return nil
}
