package exact

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRound(t *testing.T) {
	for _, tc := range []struct {
		v    int64
		s    int
		want int64
	}{{5, 1, 3}, {-5, 1, -2}, {4, 1, 2}, {7, 3, 1}, {3, 3, 0}, {4, 3, 1}, {-4, 3, 0}, {-5, 3, -1}, {5, -2, 20}, {1<<62 - 1, 62, 1}, {-1<<62 + 1, 62, -1}, {1<<62 - 1, 63, 0}, {1 << 61, 62, 1}} {
		require.Equal(t, tc.want, Round(tc.v, tc.s), "%d >> %d", tc.v, tc.s)
	}
}

// close says how far integers are from the functions that they stand for.
func TestNearToWhatTheyStandFor(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		a := rng.Uint64()
		x := float64(a) / (1 << 63) / 2 * 2 * math.Pi
		require.InDelta(t, math.Sin(x), float64(Sine(a))/(1<<30), 4e-7)
		require.InDelta(t, math.Cos(x), float64(Cosine(a))/(1<<30), 4e-7)

		d := rng.Uint64() >> (40 + rng.IntN(24))
		require.InEpsilon(t, 1+math.Exp2(-float64(d)/65536), 1+float64(Exp2(d))/(1<<30), 3e-9)

		g := int32(rng.Uint32()) >> rng.IntN(32)
		require.InDelta(t, 1/(1+math.Exp(-float64(g)/65536)), float64(Sigmoid(g))/(1<<30), 4e-6)

		u := max(rng.Uint64()>>rng.IntN(64), 1)
		require.InDelta(t, math.Log2(float64(u)), float64(Log2(u))/(1<<48), 1e-13*64)
	}
}

func TestNormIsNearToRMSNorm(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		n := 1 + rng.IntN(300)
		x, g := make([]int32, n), Gain{make([]int32, n), -22}
		var ss float64
		bits := 10 + rng.IntN(21)
		for i := range x {
			x[i], g.M[i] = int32(rng.Uint32())>>(31-bits), int32(rng.Uint32())>>8
			ss += float64(x[i]) * float64(x[i])
		}
		dst := make([]int64, n)
		exp := Norm(dst, x, g, 42950)
		rms := math.Sqrt(ss/float64(n)/(1<<32) + 42950.0/(1<<32))
		for i := range x {
			want := float64(x[i]) / 65536 / rms * math.Ldexp(float64(g.M[i]), g.Exp)
			require.InDelta(t, want, math.Ldexp(float64(dst[i]), exp), 4e-6*(1+math.Abs(want)))
		}
	}
}

// TestExtremes runs every function where its proof of no overflow is tight.
func TestExtremes(t *testing.T) {
	x, y := make([]int32, MaxNorm), make([]int64, MaxNorm)
	g := Gain{make([]int32, MaxNorm), 0}
	for i := range g.M {
		g.M[i] = 1 << 24
	}
	x[0] = math.MinInt32 // alone, it is √MaxNorm over the root mean square
	Norm(y, x, g, 0)
	require.InDelta(t, -128*math.Exp2(44), float64(y[0]), math.Exp2(24+8))
	for i := range x {
		x[i] = math.MinInt32
	}
	Norm(y, x, g, 1<<32)
	require.InDelta(t, -math.Exp2(44), float64(y[0]), math.Exp2(24+8))

	up, gate, h := []int32{math.MinInt32, math.MaxInt32}, []int32{math.MaxInt32, math.MinInt32}, make([]int64, 2)
	Gate(h, gate, up)
	require.Equal(t, int64(math.MaxInt32)*math.MinInt32, h[0])
	q := make([]int16, 2)
	require.Equal(t, GateExp+62-15, Quantise(q, h, GateExp, 15))
	require.EqualValues(t, -32767, q[0])

	z := []int32{math.MinInt32, math.MinInt32}
	Rotate(z, []int32{1 << 30}, []int32{1 << 30}, true)
	require.Equal(t, []int32{0, math.MinInt32}, z)

	n := MaxContext
	scores, exps, w := make([]int32, n), make([]int8, n), make([]int16, n)
	sum, _ := Weights(w, scores, exps)
	require.EqualValues(t, n<<30, sum)
	require.EqualValues(t, -(1<<HeadBits-1)<<WideBits, Mix(-int64(n)*32768*(1<<HeadBits-1), sum, 0))
}

// TestNoiseIsGumbel draws many times and compares with the probabilities.
func TestNoiseIsGumbel(t *testing.T) {
	logits := []int32{0, 1 << 16, 2 << 16, 3 << 15, -2 << 16}
	s := Sampler{Sampling: Sampling{Seed: [32]byte{9}, Temperature: 800_000}}
	const n = 40000
	count := make([]float64, len(logits))
	for i := range n {
		count[s.Draw(logits, uint64(i))]++
	}
	var z float64
	for _, l := range logits {
		z += math.Exp(float64(l) / 65536 / 0.8)
	}
	var chi float64
	for i, l := range logits {
		want := n * math.Exp(float64(l)/65536/0.8) / z
		chi += (count[i] - want) * (count[i] - want) / want
	}
	require.Less(t, chi, 18.5, "four degrees of freedom: above this once in a thousand seeds, and the seed is fixed")
}

// TestLogSumOfLargeVocabularies has sums whose logarithm is large.
func TestLogSumOfLargeVocabularies(t *testing.T) {
	for _, n := range []int{1, 2, 1000, 1 << 18} {
		top, log := LogSum(make([]int32, n))
		require.Zero(t, top)
		require.InDelta(t, math.Log(float64(n)), float64(log)/65536, 2e-5)
	}
}

func TestCutsOfProbability(t *testing.T) {
	logits := []int32{3 << 16, 3 << 16, 2 << 16, -9 << 16, 3 << 16}
	seen := func(s Sampling) map[int]bool {
		sampler := Sampler{Sampling: s}
		m := map[int]bool{}
		for i := range 3000 {
			m[sampler.Draw(logits, uint64(i))] = true
		}
		return m
	}
	require.Equal(t, map[int]bool{0: true, 1: true}, seen(Sampling{Temperature: Million, TopK: 2}), "ties go to the lowest ids")
	require.Equal(t, map[int]bool{0: true}, seen(Sampling{Temperature: Million, TopP: 290_000}))
	require.Equal(t, map[int]bool{0: true, 1: true, 4: true}, seen(Sampling{Temperature: Million, TopP: 880_000}))
	require.Equal(t, map[int]bool{0: true}, seen(Sampling{}))
	require.Error(t, Sampling{Temperature: 1}.Check())
	require.Error(t, Sampling{TopP: Million + 1}.Check())
}

func TestScales(t *testing.T) {
	for _, v := range []float32{1, 1.5, 0x1p-126, math.MaxFloat32, 3.1415927e-5} {
		s := Scale(math.Float32bits(v))
		require.NoError(t, s.Check())
		m, e := s.Split()
		require.Equal(t, float64(v), math.Ldexp(float64(m), e))
	}
	for _, b := range []uint32{1, 0x7fffff, 0x7f800000, 0x7fc00000, 0x80000000, 0xbf800000} {
		require.ErrorIs(t, Scale(b).Check(), ErrScale)
	}
	rng := rand.New(rand.NewPCG(5, 6))
	for range 2000 {
		n, d := rng.Uint64()>>rng.IntN(20)|1, rng.Uint64()>>rng.IntN(60)|1
		s, err := NewScale(n, d, -30)
		require.NoError(t, err)
		m, e := s.Split()
		require.InEpsilon(t, float64(n)/float64(d)*math.Exp2(-30), math.Ldexp(float64(m), e), 7e-8)
	}
	_, err := NewScale(1, 1, 200)
	require.ErrorIs(t, err, ErrScale)
}
