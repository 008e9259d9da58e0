package claim

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/canonical"
)

// ErrEncoding marks bytes that are not the one encoding of what was expected.
var ErrEncoding = canonical.ErrEncoding

// taskWire and resultWire are the encoded forms. Tokens are byte strings of unsigned
// varints, logarithms and embeddings of signed (zigzag) ones, alternatives of an unsigned
// and a signed one each.
type taskWire struct {
	_           struct{} `cbor:",toarray"`
	Model       []byte
	Prompt      []byte
	MaxTokens   uint32
	Seed        []byte
	Temperature uint32
	TopK        uint32
	TopP        uint32
	Stop        []byte
	LogProbs    bool
	Top         uint8
	Embed       bool
}

type resultWire struct {
	_         struct{} `cbor:",toarray"`
	Output    []byte
	Finish    uint8
	LogProbs  []byte
	Top       []byte
	Embedding []byte
}

// Encode is the one encoding of a task that Check accepts.
func (t *Task) Encode() ([]byte, error) {
	if err := t.Check(); err != nil {
		return nil, err
	}
	b, err := canonical.Encode(t.wire())
	if err != nil {
		return nil, fmt.Errorf("encode task: %w", err)
	}
	if len(b) > MaxTaskBytes {
		return nil, fmt.Errorf("%w: %d bytes encoded, at most %d: the prompt of %d tokens is too long", ErrTask, len(b), MaxTaskBytes, len(t.Prompt))
	}
	return b, nil
}

func (t *Task) wire() *taskWire {
	return &taskWire{
		Model: t.Model[:], Prompt: canonical.PutTokens(t.Prompt), MaxTokens: t.MaxTokens,
		Seed: t.Sampling.Seed[:], Temperature: t.Sampling.Temperature, TopK: t.Sampling.TopK, TopP: t.Sampling.TopP,
		Stop: canonical.PutTokens(t.Stop), LogProbs: t.LogProbs, Top: t.Top, Embed: t.Embed,
	}
}

// DecodeTask takes what Encode gives and nothing else.
func DecodeTask(b []byte) (*Task, error) {
	var w taskWire
	if err := canonical.Decode(b, MaxTaskBytes, &w); err != nil {
		return nil, fmt.Errorf("decode task: %w", err)
	}
	t := &Task{
		MaxTokens: w.MaxTokens,
		Sampling:  exact.Sampling{Temperature: w.Temperature, TopK: w.TopK, TopP: w.TopP},
		LogProbs:  w.LogProbs, Top: w.Top, Embed: w.Embed,
	}
	if len(w.Model) != len(t.Model) || len(w.Seed) != len(t.Sampling.Seed) {
		return nil, fmt.Errorf("decode task: %w: root of %d bytes and seed of %d: both must have 32", ErrEncoding, len(w.Model), len(w.Seed))
	}
	copy(t.Model[:], w.Model)
	copy(t.Sampling.Seed[:], w.Seed)
	var err error
	if t.Prompt, err = tokens(w.Prompt); err == nil {
		t.Stop, err = tokens(w.Stop)
	}
	if err == nil {
		err = canonical.Same(b, t.wire())
	}
	if err == nil {
		err = t.Check()
	}
	if err != nil {
		return nil, fmt.Errorf("decode task: %w", err)
	}
	return t, nil
}

// Encode is the one encoding of a result. Check says whether it is one of its task.
func (r *Result) Encode() ([]byte, error) {
	b, err := canonical.Encode(r.wire())
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	if len(b) > MaxResultBytes {
		return nil, fmt.Errorf("%w: %d bytes encoded, at most %d", ErrResult, len(b), MaxResultBytes)
	}
	return b, nil
}

func (r *Result) wire() *resultWire {
	w := &resultWire{Output: canonical.PutTokens(r.Output), Finish: uint8(r.Finish), LogProbs: putInts(r.LogProbs), Embedding: putInts(r.Embedding)}
	for _, a := range r.Top {
		w.Top = binary.AppendVarint(binary.AppendUvarint(w.Top, uint64(a.ID)), int64(a.LogProb))
	}
	return w
}

// DecodeResult takes what Encode gives and nothing else.
func DecodeResult(b []byte) (*Result, error) {
	var w resultWire
	if err := canonical.Decode(b, MaxResultBytes, &w); err != nil {
		return nil, fmt.Errorf("decode result: %w", err)
	}
	r := &Result{Finish: Finish(w.Finish)}
	var err error
	if r.Output, err = tokens(w.Output); err == nil {
		r.LogProbs, err = ints(w.LogProbs)
	}
	if err == nil {
		r.Top, err = alternatives(w.Top)
	}
	if err == nil {
		r.Embedding, err = ints(w.Embedding)
	}
	if err == nil {
		err = canonical.Same(b, r.wire())
	}
	if err != nil {
		return nil, fmt.Errorf("decode result: %w", err)
	}
	return r, nil
}

func tokens(b []byte) ([]uint32, error) { return canonical.Tokens(b, math.MaxUint32+1) }

func putInts(list []int32) []byte {
	b := make([]byte, 0, 3*len(list))
	for _, v := range list {
		b = binary.AppendVarint(b, int64(v))
	}
	return b
}

func int32At(b []byte) (int32, int) {
	v, n := binary.Varint(b)
	if v < math.MinInt32 || v > math.MaxInt32 {
		return 0, -1
	}
	return int32(v), n
}

func ints(b []byte) ([]int32, error) {
	var list []int32
	for len(b) > 0 {
		v, n := int32At(b)
		if n <= 0 {
			return nil, fmt.Errorf("%w: number %d of a list", ErrEncoding, len(list))
		}
		list, b = append(list, v), b[n:]
	}
	return list, nil
}

func alternatives(b []byte) ([]Alternative, error) {
	var list []Alternative
	for len(b) > 0 {
		id, n := binary.Uvarint(b)
		if n <= 0 || id > math.MaxUint32 {
			return nil, fmt.Errorf("%w: alternative %d", ErrEncoding, len(list))
		}
		v, m := int32At(b[n:])
		if m <= 0 {
			return nil, fmt.Errorf("%w: logarithm of alternative %d", ErrEncoding, len(list))
		}
		list, b = append(list, Alternative{uint32(id), v}), b[n+m:]
	}
	return list, nil
}
