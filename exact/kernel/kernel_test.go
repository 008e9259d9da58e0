package kernel

import (
	"encoding/binary"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/exact"
)

// source gives integers from a fuzzer's bytes, over and over.
type source struct {
	b []byte
	i int
}

func (s *source) next(limit int) int {
	var x [2]byte
	if len(s.b) > 0 {
		x = [2]byte{s.b[s.i%len(s.b)], s.b[(s.i+1)%len(s.b)]}
		s.i += 2
		if s.i >= len(s.b) && len(s.b) > 2 {
			s.i = s.i%len(s.b) + 1 // another alignment the next time
		}
	}
	v := int(int16(binary.LittleEndian.Uint16(x[:])))
	switch {
	case v > 30000:
		return limit
	case v < -30000:
		return -limit
	}
	return v % (limit + 1)
}

func table(tokens, rows int) [][]int32 {
	t := make([][]int32, tokens)
	for i := range t {
		t[i] = make([]int32, rows)
	}
	return t
}

// check holds every form of the kernel against the definition in package exact, for a
// matrix, some tokens and pages made from s.
func check(t *testing.T, s *source, rows, cols, tokens, head int) {
	w := make([]int8, rows*cols)
	for i := range w {
		w[i] = int8(s.next(127))
	}
	scales := make([]exact.Scale, rows)
	for i := range scales {
		scales[i] = exact.Scale(0x3a000000 + uint32(s.next(1<<22)+1<<22))
	}
	m, err := Pack(rows, cols, w, scales)
	require.NoError(t, err)
	x := Acts{Stride: m.Padded(), Q: make([]int16, tokens*m.Padded()), Exps: make([]int, tokens)}
	limit := 1<<exact.ActBits(cols) - 1
	for i := range tokens {
		for j := range cols {
			x.Q[i*x.Stride+j] = int16(s.next(limit))
		}
		x.Exps[i] = -s.next(20)
	}
	want := table(tokens, rows)
	for i := range tokens {
		for r := range rows {
			row, scale := m.Row(r)
			require.Equal(t, w[r*cols:(r+1)*cols], row)
			want[i][r] = exact.Linear(row, scale, x.Q[i*x.Stride:i*x.Stride+cols], x.Exps[i])
		}
	}
	limit = 1<<exact.HeadBits - 1
	q, keys, values, weights := make([]int16, head), make([]int16, Page*head), make([]int16, Page*head), make([]int16, Page)
	for _, p := range [][]int16{q, keys, values} {
		for i := range p {
			p[i] = int16(s.next(limit))
		}
	}
	for i := range weights {
		weights[i] = int16(max(s.next(1<<15-1), 0))
	}
	products, totals := make([]int32, Page), make([]int64, head)
	for p := range Page {
		products[p] = exact.Dot16(q, keys[p*head:(p+1)*head])
		for j := range head {
			totals[j] += int64(weights[p]) * int64(values[ValueIndex(p, j, head)])
		}
	}
	for _, k := range Forms() {
		got := table(tokens, rows)
		for p := 0; p < m.Panels(); p += 3 {
			m.Times(k, got, x, p, min(p+3, m.Panels()))
		}
		require.Equal(t, want, got, "%s: %d × %d × %d", k.Name, rows, cols, tokens)
		if tokens == 1 {
			got := make([]int32, m.Panels()*PanelRows)
			k.one(got, m.w, x.Q, m.chunks, m.Panels())
			for r := range rows {
				row, _ := m.Row(r)
				require.Equal(t, exact.Dot(row, x.Q[:cols]), got[r], k.Name)
			}
		}
		p, total := make([]int32, Page), make([]int64, head)
		k.Keys(p, q, keys)
		require.Equal(t, products, p, "%s: keys of %d", k.Name, head)
		k.Values(total, weights, values)
		require.Equal(t, totals, total, "%s: values of %d", k.Name, head)
	}
}

func TestKernelsGiveTheBitsOfTheDefinition(t *testing.T) {
	rng := rand.NewChaCha8([32]byte{})
	b := make([]byte, 9973)
	rng.Read(b)
	extreme := &source{b: []byte{0xff, 0x7f}}  // all the largest
	opposite := &source{b: []byte{0x00, 0x80}} // all the smallest
	for _, s := range []*source{{b: b}, extreme, opposite, {}} {
		check(t, s, 1, 1, 1, 16)
		check(t, s, 8, 16, 4, 64)
		check(t, s, 23, 172, 9, 128)
		check(t, s, 17, 4096, 5, 256)
	}
}

func TestLargestSumsFit(t *testing.T) {
	for _, cols := range []int{1, 16, 511, 512, 513, 2048, 4096, 11008, 16384, exact.MaxColumns} {
		w := make([]int8, cols)
		a := make([]int16, cols)
		var want int64
		for i := range w {
			w[i], a[i] = -127, int16(1<<exact.ActBits(cols)-1)
			want += int64(w[i]) * int64(a[i])
		}
		require.EqualValues(t, want, exact.Dot(w, a), cols)
		m, err := Pack(1, cols, w, []exact.Scale{0})
		require.NoError(t, err)
		a = append(a, make([]int16, m.Padded()-cols)...)
		for _, k := range Forms() {
			var out [8]int32
			k.one(out[:], m.w, a, m.chunks, 1)
			require.EqualValues(t, want, out[0], k.Name)
		}
	}
}

func TestPackRefuses(t *testing.T) {
	for _, tc := range []struct {
		name       string
		rows, cols int
		w          []int8
		scales     []exact.Scale
	}{
		{"no rows", 0, 1, nil, nil},
		{"no columns", 1, 0, nil, []exact.Scale{0}},
		{"too few weights", 2, 2, make([]int8, 3), make([]exact.Scale, 2)},
		{"too few scales", 2, 2, make([]int8, 4), make([]exact.Scale, 1)},
		{"a weight of -128", 1, 2, []int8{0, -128}, make([]exact.Scale, 1)},
		{"an infinite scale", 1, 1, []int8{0}, []exact.Scale{0x7f800000}},
		{"a negative scale", 1, 1, []int8{0}, []exact.Scale{0xbf800000}},
		{"a subnormal scale", 1, 1, []int8{0}, []exact.Scale{1}},
		{"too many columns", 1, exact.MaxColumns + 1, make([]int8, exact.MaxColumns+1), make([]exact.Scale, 1)},
	} {
		_, err := Pack(tc.rows, tc.cols, tc.w, tc.scales)
		require.Error(t, err, tc.name)
	}
}

func FuzzForms(f *testing.F) {
	f.Add([]byte{1, 2, 3}, uint8(9), uint16(40), uint8(5), uint8(4))
	f.Add([]byte{0xff, 0x7f}, uint8(1), uint16(1000), uint8(1), uint8(1))
	f.Fuzz(func(t *testing.T, b []byte, rows uint8, cols uint16, tokens, head uint8) {
		check(t, &source{b: b}, int(rows)%40+1, int(cols)%1200+1, int(tokens)%10+1, (int(head)%16+1)*Chunk)
	})
}

func BenchmarkTimes(b *testing.B) {
	const rows, cols = 5632, 2048
	w := make([]int8, rows*cols)
	for i := range w {
		w[i] = int8(i%255 - 127)
	}
	scales := make([]exact.Scale, rows)
	for i := range scales {
		scales[i] = 0x3a000000
	}
	// Eleven of them are more than a cache holds.
	var ms []*Matrix
	for range 11 {
		m, err := Pack(rows, cols, w, scales)
		require.NoError(b, err)
		ms = append(ms, m)
	}
	for _, tokens := range []int{1, 4, 64} {
		x := Acts{Stride: cols, Q: make([]int16, tokens*cols), Exps: make([]int, tokens)}
		for i := range x.Q {
			x.Q[i] = int16(i % 8191)
		}
		dst := table(tokens, rows)
		for _, k := range Forms() {
			if k.Name == "portable" && tokens > 1 {
				continue
			}
			b.Run(k.Name+"/"+strconv.Itoa(tokens), func(b *testing.B) {
				b.SetBytes(rows * cols)
				for i := range b.N {
					ms[i%len(ms)].Times(k, dst, x, 0, ms[0].Panels())
				}
				b.ReportMetric(float64(rows*cols*tokens)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GMAC/s")
			})
		}
	}
}
