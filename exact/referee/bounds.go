package referee

import (
	"fmt"
	"math/bits"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/modelfile"
)

// MaxOpening is the most bytes that an opening may have.
const MaxOpening = 256 << 10

// Disputable refuses a model of which some tile of some answer could not be opened within
// MaxOpening, ErrTooLarge.
func Disputable(m *modelfile.Config) error {
	if err := m.Check(); err != nil {
		return err
	}
	// No position has more tiles than the last one of the longest answer.
	c := &Case{conf: m, task: &claim.Task{Prompt: make([]uint32, 1), MaxTokens: 1, LogProbs: true}}
	c.task.Sampling.Temperature, c.task.Sampling.TopK, c.task.Sampling.TopP = 1, 1, 1
	last := m.Context - 1
	tiles := uint64(m.Layers)*c.sum(last, 0, Final) + c.sum(last, Final, stages)
	return disputable(m, tiles*uint64(m.Context))
}

// disputable is Disputable for answers of that many tiles.
func disputable(m *modelfile.Config, tiles uint64) error {
	s, n := bound(m, tiles)
	if n > MaxOpening {
		return fmt.Errorf("%w: a tile of %s may take %d bytes to open, at most %d", ErrTooLarge, s, n, MaxOpening)
	}
	return nil
}

// bound is the stage whose openings may be the largest, and how large at most.
func bound(m *modelfile.Config, tiles uint64) (Stage, int) {
	height := bits.Len64(tiles) * len(Digest{})
	const fileHeight = 28 * len(Digest{}) // of a file of up to 2^40 bytes
	// A tile alone has a node at each height; some in a row two at most, and so have pieces.
	alone := func(bytes int) int { return bytes + height }
	row := func(bytes int) int { return bytes + 2*height }
	span := func(bytes int) int { return bytes + 2*modelfile.PieceSize + 2*fileHeight }
	product := func(columns int) int {
		n := RowsOf(columns)
		return row(4+2*columns) + span(n*columns) + span(4*n)
	}
	// Elements of whole tiles of some rows: part of a tile more at both ends.
	elements := func(n int) int { return row(4 * (n + 2*RowsOf(m.Dim))) }
	group, d := m.Group(), m.HeadDim
	scores := alone(4 * (1 + group + Page*(1+group)))
	page := Page * alone(8+4*d)
	mix := alone(8 * group * (1 + d))
	heads := 2*elements(d) + span(8*m.RotaryPairs) + 2*span(4*d) + span(4+4*d)
	chunk := elements(LogitChunk) + 4*alone(keepBytes)
	worst, most := Residual, 0
	// order-free: the largest, and of equal ones the first stage
	for s, n := range map[Stage]int{
		AttnIn:   alone(4*m.Dim) + span(4+4*m.Dim),
		Query:    product(m.Dim),
		KeyValue: heads,
		Scores:   page + row(group*(4+2*d)) + scores,
		Mix:      page + 2*scores + mix,
		Mixed:    scores + mix,
		MixIn:    row(4 * m.Queries()),
		AttnOut:  product(m.Queries()),
		Middle:   alone(4*m.Dim) + row(4*m.Dim),
		Gated:    2*elements(GateChunk) + 2*alone(4),
		Down:     product(m.Hidden),
		Best:     chunk,
	} {
		if n > most || n == most && s < worst {
			worst, most = s, n
		}
	}
	return worst, most
}
