package modelfile

import "fmt"

// A file is: magic; the lengths of the configuration and of the tokenizer, 8 bytes each;
// the configuration; the tokenizer; the rotary frequencies; the tensors in the order of
// Slots. Every part begins at a multiple of line bytes, with zeros before it. Integers are
// little-endian. There are no offsets in it: all follow from the configuration.
const (
	Magic        = "cantusM1"
	MaxConfig    = 1 << 12  // bytes of the configuration
	MaxTokenizer = 64 << 20 // bytes of the tokenizer

	line = 64
	head = int64(len(Magic)) + 16
)

// Align is the next place where a part may begin.
func Align(n int64) int64 { return (n + line - 1) / line * line }

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

// Kind says how a tensor is written.
type Kind uint8

// The kinds of tensors.
const (
	Matrix Kind = iota // Rows·Cols weights, then a scale for each row
	Gain               // an exponent, then Cols integers
	Bias               // Cols wide values
)

// Slot is one tensor of a file.
type Slot struct {
	Part       Part
	Layer      int // 0 for what is in no layer
	Kind       Kind
	Rows, Cols int
}

// Size is how many bytes a slot takes, before it is rounded up to whole lines.
func (s *Slot) Size() int64 {
	switch s.Kind {
	case Matrix:
		return int64(s.Rows)*int64(s.Cols) + 4*int64(s.Rows)
	case Gain:
		return 4 + 4*int64(s.Cols)
	default:
		return 4 * int64(s.Cols)
	}
}

// Slots lists a model's tensors in the order of its file.
func Slots(c *Config) []Slot {
	list := []Slot{{Part: Embedding, Kind: Matrix, Rows: c.Vocab, Cols: c.Dim}}
	for i := range c.Layers {
		matrix := func(p Part, rows, cols int) {
			list = append(list, Slot{Part: p, Layer: i, Kind: Matrix, Rows: rows, Cols: cols})
		}
		gain := func(p Part, cols int) {
			list = append(list, Slot{Part: p, Layer: i, Kind: Gain, Cols: cols})
		}
		projection := func(p Part, rows int) {
			matrix(p, rows, c.Dim)
			if c.QKVBias {
				list = append(list, Slot{Part: p, Layer: i, Kind: Bias, Cols: rows})
			}
		}
		gain(AttnNorm, c.Dim)
		projection(Query, c.Queries())
		projection(Key, c.KeyColumns())
		projection(Value, c.KeyColumns())
		if c.HeadNorm {
			gain(QueryNorm, c.HeadDim)
			gain(KeyNorm, c.HeadDim)
		}
		matrix(AttnOut, c.Dim, c.Queries())
		gain(FFNNorm, c.Dim)
		matrix(Gate, c.Hidden, c.Dim)
		matrix(Up, c.Hidden, c.Dim)
		matrix(Down, c.Dim, c.Hidden)
	}
	list = append(list, Slot{Part: OutputNorm, Kind: Gain, Cols: c.Dim})
	if !c.Tied {
		list = append(list, Slot{Part: Output, Kind: Matrix, Rows: c.Vocab, Cols: c.Dim})
	}
	return list
}

// Span is a part of a file.
type Span struct{ Offset, Length int64 }

// Pieces are the pieces of a file that a part of it touches.
func (s Span) Pieces() (from, to uint64) {
	return uint64(s.Offset) / PieceSize, uint64(s.Offset+s.Length+PieceSize-1) / PieceSize
}

// Layout says where in a file things lie. All follows from the configuration and the
// length of the tokenizer, so whoever has the head of a file, and proofs of pieces of it
// against its root, can find and check one row of one matrix: a referee needs no more.
type Layout struct {
	slots  map[slotKey]slotAt
	rotary Span
	size   int64
}

type slotKey struct {
	part  Part
	layer int
	bias  bool
}

type slotAt struct {
	Slot
	offset int64
}

// NewLayout is the layout of a file whose tokenizer has that many bytes.
func NewLayout(c *Config, tokenizer int64) (*Layout, error) {
	conf, err := c.Encode()
	if err != nil {
		return nil, err
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	if tokenizer < 0 || tokenizer > MaxTokenizer {
		return nil, fmt.Errorf("%w: tokenizer of %d bytes", ErrConfig, tokenizer)
	}
	l := &Layout{slots: map[slotKey]slotAt{}}
	l.rotary = Span{Align(Align(Align(head)+int64(len(conf))) + tokenizer), 8 * int64(c.RotaryPairs)}
	at := l.rotary.Offset + l.rotary.Length
	for _, s := range Slots(c) {
		at = Align(at)
		l.slots[slotKey{s.Part, s.Layer, s.Kind == Bias}] = slotAt{s, at}
		at += s.Size()
	}
	l.size = Align(at)
	return l, nil
}

// Size is the whole file's.
func (l *Layout) Size() int64 { return l.size }

// Rotary is where the rotary frequencies lie, 8 bytes for each pair.
func (l *Layout) Rotary() Span { return l.rotary }

// Row is where the weights of one row of a matrix lie, and the row's scale. Layers of parts
// that are not in a layer are 0.
func (l *Layout) Row(part Part, layer, row int) (weights, scale Span, err error) {
	return l.Rows(part, layer, row, 1)
}

// Rows is where the weights of n rows lie, one after the other, and their scales.
func (l *Layout) Rows(part Part, layer, row, n int) (weights, scales Span, err error) {
	s, ok := l.slots[slotKey{part, layer, false}]
	if !ok || s.Kind != Matrix || row < 0 || n < 1 || row >= s.Rows || n > s.Rows-row {
		return weights, scales, fmt.Errorf("%w: no %d rows from %d of matrix %s in layer %d", ErrConfig, n, row, part, layer)
	}
	cols := int64(s.Cols)
	return Span{s.offset + int64(row)*cols, int64(n) * cols}, Span{s.offset + int64(s.Rows)*cols + 4*int64(row), 4 * int64(n)}, nil
}

// Gain is where a norm's exponent, 4 bytes, and its integers lie.
func (l *Layout) Gain(part Part, layer int) (Span, error) {
	s, ok := l.slots[slotKey{part, layer, false}]
	if !ok || s.Kind != Gain {
		return Span{}, fmt.Errorf("%w: no norm %s in layer %d", ErrConfig, part, layer)
	}
	return Span{s.offset, s.Size()}, nil
}

// Bias is where the bias of one row lies, 4 bytes.
func (l *Layout) Bias(part Part, layer, row int) (Span, error) {
	return l.Biases(part, layer, row, 1)
}

// Biases is where the biases of n rows lie, 4 bytes each.
func (l *Layout) Biases(part Part, layer, row, n int) (Span, error) {
	s, ok := l.slots[slotKey{part, layer, true}]
	if !ok || row < 0 || n < 1 || row >= s.Cols || n > s.Cols-row {
		return Span{}, fmt.Errorf("%w: no %d biases from %d of %s in layer %d", ErrConfig, n, row, part, layer)
	}
	return Span{s.offset + 4*int64(row), 4 * int64(n)}, nil
}
