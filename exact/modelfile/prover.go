package modelfile

import (
	"fmt"
	"io"
	"slices"

	"github.com/cantus-network/cantus/exact/merkle"
)

// nodePieces is how many pieces the nodes cover that a Prover keeps: a power of two.
const nodePieces = 256

// Prover shows pieces of a file. It reads the file once and keeps a hash for each MiB, so
// that a proof reads no more than some MiBs around what it shows.
type Prover struct {
	r     io.ReaderAt
	size  int64
	nodes []Digest
}

// NewProver reads a file.
func NewProver(r io.ReaderAt, size int64) (*Prover, error) {
	p := &Prover{r: r, size: size}
	for from, n := uint64(0), pieces(max(size, 0)); from < n; from += nodePieces {
		d, err := p.hash(from, min(from+nodePieces, n))
		if err != nil {
			return nil, err
		}
		p.nodes = append(p.nodes, d)
	}
	if len(p.nodes) == 0 {
		return nil, fmt.Errorf("prove pieces of a model of %d bytes: %w", size, ErrProof)
	}
	return p, nil
}

// Root is the file's root.
func (p *Prover) Root() Digest { return rooted(uint64(p.size), merkle.Root(p.nodes)) }

// Prove reads pieces, which ascend, and gives them one after the other, and the nodes that
// show them against the root.
func (p *Prover) Prove(list []uint64) (data []byte, proof []Digest, err error) {
	n := pieces(p.size)
	if len(list) > 0 && list[len(list)-1] >= n {
		return nil, nil, fmt.Errorf("prove piece %d of a model with %d: %w", list[len(list)-1], n, ErrProof)
	}
	for _, i := range list {
		b, err := p.read(i, i+1)
		if err != nil {
			return nil, nil, err
		}
		data = append(data, b...)
	}
	merkle.Missing(0, n, list, func(from, to uint64) {
		if err == nil {
			var d Digest
			d, err = p.node(from, to)
			proof = append(proof, d)
		}
	})
	return data, proof, err
}

// node is one node of the tree.
func (p *Prover) node(from, to uint64) (Digest, error) {
	if from%nodePieces == 0 && (to%nodePieces == 0 || to == pieces(p.size)) {
		return merkle.Root(p.nodes[from/nodePieces : (to+nodePieces-1)/nodePieces]), nil
	}
	return p.hash(from, to)
}

func (p *Prover) hash(from, to uint64) (Digest, error) {
	b, err := p.read(from, to)
	if err != nil {
		return Digest{}, err
	}
	var s merkle.Stack
	for piece := range slices.Chunk(b, PieceSize) {
		s.Push(merkle.Leaf(piece))
	}
	return s.Root(), nil
}

func (p *Prover) read(from, to uint64) ([]byte, error) {
	at := int64(from) * PieceSize
	b := make([]byte, min(int64(to)*PieceSize, p.size)-at)
	if _, err := p.r.ReadAt(b, at); err != nil {
		return nil, fmt.Errorf("read pieces %d to %d of the model: %w", from, to-1, err)
	}
	return b, nil
}

// Pieces are those that spans touch, ascending, each once.
func Pieces(spans []Span) []uint64 {
	var list []uint64
	for _, s := range spans {
		from, to := s.Pieces()
		for i := from; i < to; i++ {
			list = append(list, i)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Proved says how long a proof of some pieces of a file of that size is: the bytes of the
// pieces, and the number of nodes.
func Proved(size int64, list []uint64) (data, nodes int) {
	for _, i := range list {
		data += pieceLen(size, i)
	}
	merkle.Missing(0, pieces(size), list, func(_, _ uint64) { nodes++ })
	return data, nodes
}

// Check says whether pieces, one after the other, are those of a file with this size and
// root. data and nodes must be as long as Proved says.
func Check(root Digest, size int64, list []uint64, data []byte, nodes []Digest) error {
	if size < 1 || size > 1<<50 || len(list) == 0 || list[len(list)-1] >= pieces(size) {
		return ErrProof
	}
	if n, m := Proved(size, list); n != len(data) || m != len(nodes) {
		return fmt.Errorf("%w: %d bytes and %d nodes, not %d and %d", ErrProof, len(data), len(nodes), n, m)
	}
	top := merkle.Join(0, pieces(size), list, func(i uint64) Digest {
		n := pieceLen(size, i)
		d := merkle.Leaf(data[:n])
		data = data[n:]
		return d
	}, func() Digest {
		d := nodes[0]
		nodes = nodes[1:]
		return d
	})
	if rooted(uint64(size), top) != root {
		return ErrProof
	}
	return nil
}

// Cut takes spans out of pieces, one after the other, that hold them.
func Cut(list []uint64, data []byte, spans []Span) [][]byte {
	out := make([][]byte, len(spans))
	for i, s := range spans {
		from, _ := s.Pieces()
		at, _ := slices.BinarySearch(list, from)
		// Only the last piece of a file is shorter, and nothing comes after it.
		start := int64(at)*PieceSize + s.Offset%PieceSize
		out[i] = data[start : start+s.Length]
	}
	return out
}
