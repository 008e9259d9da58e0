package kernel

import (
	"fmt"

	"github.com/cantus-network/cantus/exact"
)

// Matrix is int8 weights with a scale for each row, packed.
type Matrix struct {
	Rows, Cols int
	chunks     int
	w          []int8
	scales     []exact.Scale
	factors    []factor // the scales, taken apart
}

// factor is m·2^e.
type factor struct{ m, e int32 }

// Panels is how many panels the matrix has; its last one may have rows of zeros.
func (m *Matrix) Panels() int { return (m.Rows + PanelRows - 1) / PanelRows }

// Padded is the length that activations must have, zeros past Cols.
func (m *Matrix) Padded() int { return m.chunks * Chunk }

// Pack copies rows·cols weights, row by row, into panels. Of weights it refuses -128, of
// scales what exact.Scale.Check refuses.
func Pack(rows, cols int, w []int8, scales []exact.Scale) (*Matrix, error) {
	if rows < 1 || cols < 1 || cols > exact.MaxColumns || len(w)/cols != rows || len(w)%cols != 0 || len(scales) != rows {
		return nil, fmt.Errorf("kernel: %d weights and %d scales are no matrix of %d × %d (at most %d columns)", len(w), len(scales), rows, cols, exact.MaxColumns)
	}
	for r, s := range scales {
		if err := s.Check(); err != nil {
			return nil, fmt.Errorf("kernel: row %d: %w", r, err)
		}
	}
	factors := make([]factor, rows)
	for r, s := range scales {
		m, e := s.Split()
		factors[r] = factor{int32(m), int32(e)}
	}
	m := &Matrix{factors: factors, Rows: rows, Cols: cols, chunks: Padded(cols) / Chunk, scales: scales}
	m.w = make([]int8, m.Panels()*m.chunks*PanelRows*Chunk)
	for r := range rows {
		row := w[r*cols : (r+1)*cols]
		dst := m.w[(r/PanelRows*m.chunks*PanelRows+r%PanelRows)*Chunk:]
		var least int8
		for c := 0; c < cols; c += Chunk {
			part := row[c:min(c+Chunk, cols)]
			copy(dst[c*PanelRows:], part)
			for _, v := range part {
				least = min(least, v)
			}
		}
		if least == -128 {
			return nil, fmt.Errorf("kernel: row %d has a weight of -128; the least is -127", r)
		}
	}
	return m, nil
}

// Row is one row of weights and its scale, as exact.Linear takes them.
func (m *Matrix) Row(r int) ([]int8, exact.Scale) {
	row := make([]int8, m.Cols)
	src := m.w[(r/PanelRows*m.chunks*PanelRows+r%PanelRows)*Chunk:]
	for c := 0; c < m.Cols; c += Chunk {
		copy(row[c:], src[c*PanelRows:c*PanelRows+Chunk])
	}
	return row, m.scales[r]
}

// Embed writes row r of an embedding table as wide values.
func (m *Matrix) Embed(dst []int32, r int) {
	row, s := m.Row(r)
	exact.Embed(dst, row, s)
}

// Acts are the activations of some tokens: blocks of equal length with an exponent each.
type Acts struct {
	Q      []int16 // Stride for each token
	Exps   []int
	Stride int
}

// Times computes panels [from, to) of the matrix' product with each of the tokens: row r
// of token t is written to dst[t][r]. Different panels may be computed at once.
func (m *Matrix) Times(k *Kernel, dst [][]int32, x Acts, from, to int) {
	const ahead = 16 // panels for one call
	var sums [ahead * PanelRows]int32
	panel := m.chunks * PanelRows * Chunk
	t := 0
	if tokens := len(x.Exps); tokens >= PanelTokens {
		// All tokens see a panel before the next one is fetched.
		for p := from; p < to; p++ {
			w := m.w[p*panel : (p+1)*panel]
			for t = 0; t+PanelTokens <= tokens; t += PanelTokens {
				k.four(sums[:], w, x.Q[t*x.Stride:], m.chunks, x.Stride)
				for i := range PanelTokens {
					m.requantise(dst[t+i], sums[i*PanelRows:(i+1)*PanelRows], p, x.Exps[t+i])
				}
			}
		}
	}
	for ; t < len(x.Exps); t++ {
		for p := from; p < to; p += ahead {
			n := min(ahead, to-p)
			k.one(sums[:], m.w[p*panel:(p+n)*panel], x.Q[t*x.Stride:], m.chunks, n)
			m.requantise(dst[t], sums[:n*PanelRows], p, x.Exps[t])
		}
	}
}

// requantise turns the sums of panels from p on into wide values: exact.Requantise, with the
// shift that is by far the most frequent written out.
func (m *Matrix) requantise(dst, sums []int32, p, exp int) {
	first := p * PanelRows
	factors := m.factors[first:min(first+len(sums), m.Rows)]
	dst = dst[first : first+len(factors)]
	sums = sums[:len(factors)]
	for i, f := range factors {
		s := -(int(f.e) + exp + exact.WideBits)
		if uint(s-1) < 62 {
			s &= 63 // known, but not to the compiler
			dst[i] = exact.Sat32((int64(sums[i])*int64(f.m) + 1<<(s-1)) >> s)
			continue
		}
		dst[i] = exact.To32(int64(sums[i])*int64(f.m), s)
	}
}
