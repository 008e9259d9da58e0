package model

import (
	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/modelfile"
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

// slot is one tensor of a file, and where it goes in a Model: one of the three.
type slot struct {
	modelfile.Slot
	matrix **kernel.Matrix
	gain   *exact.Gain
	bias   *[]int32
}

// slots lists a model's tensors in the order of its file, and makes room for its layers.
func (m *Model) slots() []slot {
	m.layers = make([]layer, m.Layers)
	files := modelfile.Slots(&m.Config)
	list := make([]slot, len(files))
	for i, f := range files {
		list[i] = slot{Slot: f}
		s := &list[i]
		switch f.Kind {
		case modelfile.Matrix:
			s.matrix = m.matrix(f.Part, f.Layer)
		case modelfile.Gain:
			s.gain = m.gain(f.Part, f.Layer)
		case modelfile.Bias:
			s.bias = m.bias(f.Part, f.Layer)
		}
	}
	return list
}

func (m *Model) matrix(p Part, i int) **kernel.Matrix {
	switch p {
	case Embedding:
		return &m.embed
	case Output:
		return &m.output
	}
	l := &m.layers[i]
	return map[Part]**kernel.Matrix{Query: &l.query, Key: &l.key, Value: &l.value, AttnOut: &l.out, Gate: &l.gate, Up: &l.up, Down: &l.down}[p]
}

func (m *Model) gain(p Part, i int) *exact.Gain {
	if p == OutputNorm {
		return &m.norm
	}
	l := &m.layers[i]
	return map[Part]*exact.Gain{AttnNorm: &l.attnNorm, FFNNorm: &l.ffnNorm, QueryNorm: &l.queryNorm, KeyNorm: &l.keyNorm}[p]
}

func (m *Model) bias(p Part, i int) *[]int32 {
	l := &m.layers[i]
	return map[Part]*[]int32{Query: &l.queryBias, Key: &l.keyBias, Value: &l.valueBias}[p]
}
