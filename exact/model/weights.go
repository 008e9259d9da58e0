package model

import (
	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/kernel"
)

// Model is a loaded model. It does not change, and many Runners may use it.
type Model struct {
	Config
	Root      Digest // of the file that it was loaded from
	Tokenizer []byte // as package tokenizer encodes it

	freq   []uint64
	embed  *kernel.Matrix
	layers []layer
	norm   exact.Gain
	output *kernel.Matrix // embed, where tied
}

type layer struct {
	attnNorm, ffnNorm   exact.Gain
	queryNorm, keyNorm  exact.Gain // with HeadNorm
	query, key, value   *kernel.Matrix
	queryBias           []int32 // with QKVBias, as the two below
	keyBias, valueBias  []int32
	out, gate, up, down *kernel.Matrix
}

// Tensor is one matrix as it lies in a file: rows·cols weights and a scale for each row.
type Tensor struct {
	W      []int8
	Scales []exact.Scale
}

// Source gives the parts of a model to Write, each when it is asked for, so that an import
// need not hold them all. Layers are counted from 0; the shapes follow from the Config.
type Source interface {
	// Matrix is one of the matrices below.
	Matrix(part Part, layer int) (Tensor, error)
	// Gain is the weight of a norm.
	Gain(part Part, layer int) (exact.Gain, error)
	// Bias is wide.
	Bias(part Part, layer int) ([]int32, error)
}

// Part names a tensor of a model.
type Part string

// The parts of a model, in the order of a file. Those of a layer follow one another.
const (
	Embedding  Part = "embedding"
	AttnNorm   Part = "attn_norm"
	Query      Part = "query"
	Key        Part = "key"
	Value      Part = "value"
	QueryNorm  Part = "query_norm"
	KeyNorm    Part = "key_norm"
	AttnOut    Part = "attn_out"
	FFNNorm    Part = "ffn_norm"
	Gate       Part = "gate"
	Up         Part = "up"
	Down       Part = "down"
	OutputNorm Part = "output_norm"
	Output     Part = "output"
)

// slot is one tensor of a file: where it goes in a Model, and its shape.
type slot struct {
	part       Part
	layer      int
	rows, cols int // of a matrix
	matrix     **kernel.Matrix
	gain       *exact.Gain
	bias       *[]int32
}

// size is how many bytes a slot takes, before it is rounded up to whole lines.
func (s *slot) size() int64 {
	switch {
	case s.matrix != nil:
		return int64(s.rows)*int64(s.cols) + 4*int64(s.rows)
	case s.gain != nil:
		return 4 + 4*int64(s.cols)
	default:
		return 4 * int64(s.cols)
	}
}

// slots lists a model's tensors in the order of its file, and makes room for its layers.
func (m *Model) slots() []slot {
	m.layers = make([]layer, m.Layers)
	list := []slot{{part: Embedding, rows: m.Vocab, cols: m.Dim, matrix: &m.embed}}
	for i := range m.layers {
		l := &m.layers[i]
		matrix := func(p Part, rows, cols int, at **kernel.Matrix) {
			list = append(list, slot{part: p, layer: i, rows: rows, cols: cols, matrix: at})
		}
		projection := func(p Part, rows int, at **kernel.Matrix, bias *[]int32) {
			matrix(p, rows, m.Dim, at)
			if m.QKVBias {
				list = append(list, slot{part: p, layer: i, cols: rows, bias: bias})
			}
		}
		list = append(list, slot{part: AttnNorm, layer: i, cols: m.Dim, gain: &l.attnNorm})
		projection(Query, m.queries(), &l.query, &l.queryBias)
		projection(Key, m.keyColumns(), &l.key, &l.keyBias)
		projection(Value, m.keyColumns(), &l.value, &l.valueBias)
		if m.HeadNorm {
			list = append(list, slot{part: QueryNorm, layer: i, cols: m.HeadDim, gain: &l.queryNorm},
				slot{part: KeyNorm, layer: i, cols: m.HeadDim, gain: &l.keyNorm})
		}
		matrix(AttnOut, m.Dim, m.queries(), &l.out)
		list = append(list, slot{part: FFNNorm, layer: i, cols: m.Dim, gain: &l.ffnNorm})
		matrix(Gate, m.Hidden, m.Dim, &l.gate)
		matrix(Up, m.Hidden, m.Dim, &l.up)
		matrix(Down, m.Dim, m.Hidden, &l.down)
	}
	list = append(list, slot{part: OutputNorm, cols: m.Dim, gain: &m.norm})
	if !m.Tied {
		list = append(list, slot{part: Output, rows: m.Vocab, cols: m.Dim, matrix: &m.output})
	}
	return list
}
