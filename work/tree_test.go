package work_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/cantus-network/cantus/work"
)

func leaves(n int, r *rand.Rand) []work.Node {
	out := make([]work.Node, n)
	for i := range out {
		out[i] = work.LeafNode(binary.BigEndian.AppendUint64(nil, uint64(i)), r.Uint64N(5))
	}
	return out
}

func TestTreeProvesEveryLeaf(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := 0; n <= 70; n++ {
		ls := leaves(n, r)
		tree, err := work.NewTree(ls)
		if err != nil {
			t.Fatal(err)
		}
		root := tree.Root()
		var sum uint64
		for i, l := range ls {
			p, err := tree.Prove(i)
			if err != nil {
				t.Fatal(err)
			}
			offset, err := p.Verify(root, l)
			if err != nil || offset != sum {
				t.Fatalf("%d leaves: leaf %d at %d: got offset %d, %v", n, i, sum, offset, err)
			}
			for u := sum; u < sum+l.Sum; u++ {
				if got, err := tree.Find(u); err != nil || got != i {
					t.Fatalf("%d leaves: unit %d: got leaf %d, %v; want %d", n, u, got, err, i)
				}
			}
			sum += l.Sum
		}
		if root.Sum != sum || root.Leaves != uint64(n) {
			t.Fatalf("%d leaves of %d units: root says %d of %d", n, sum, root.Leaves, root.Sum)
		}
		if _, err := tree.Find(sum); err == nil {
			t.Errorf("%d leaves: found a unit beyond the last", n)
		}
		if _, err := tree.Prove(n); err == nil {
			t.Errorf("%d leaves: proved a leaf beyond the last", n)
		}
	}
}

// Whatever is changed in a proof, its root or its leaf, it no longer verifies.
func TestProofForgeries(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 300 {
		n := 2 + r.IntN(40)
		ls := leaves(n, r)
		tree, err := work.NewTree(ls)
		if err != nil {
			t.Fatal(err)
		}
		i := r.IntN(n)
		p, err := tree.Prove(i)
		if err != nil {
			t.Fatal(err)
		}
		root, leaf := tree.Root(), ls[i]
		p.Siblings = slices.Clone(p.Siblings)
		what := r.IntN(10)
		s := &p.Siblings[r.IntN(len(p.Siblings))]
		switch what {
		case 0:
			s.Hash[r.IntN(32)] ^= 1
		case 1:
			s.Sum++
		case 2:
			p.Siblings = p.Siblings[:len(p.Siblings)-1]
		case 3:
			p.Siblings = append(p.Siblings, *s)
		case 4:
			p.Index = (p.Index + 1) % uint64(n)
		case 5:
			root.Sum++
		case 6:
			root.Leaves++
		case 7:
			root.Hash[0] ^= 1
		case 8:
			leaf.Sum++
		case 9:
			s.Sum = math.MaxUint64
		}
		if _, err := p.Verify(root, leaf); err == nil {
			t.Fatalf("forgery %d of leaf %d of %d verifies", what, i, n)
		}
	}
}

func TestTreeRefusesOverflow(t *testing.T) {
	l := []work.Node{work.LeafNode(nil, math.MaxUint64), work.LeafNode(nil, 1)}
	if _, err := work.NewTree(l); err == nil {
		t.Error("a tree whose sum overflows is built")
	}
}

func TestSampleCount(t *testing.T) {
	for _, c := range []struct {
		receipts uint64
		bps, max uint32
		want     int
	}{
		{0, 100, 32, 0}, {1, 100, 32, 1}, {100, 100, 32, 1}, {101, 100, 32, 2}, {3, 10_000, 32, 3},
		{1 << 40, 100, 32, 32}, {math.MaxUint64, 10_000, 32, 32}, {50, 200, 0, 0}, {10, 0, 32, 1},
	} {
		if got := work.SampleCount(c.receipts, c.bps, c.max); got != c.want {
			t.Errorf("SampleCount(%d, %d, %d) = %d, want %d", c.receipts, c.bps, c.max, got, c.want)
		}
	}
}

// A draw is uniform over units: chi-squared over ten cells of 20,000 draws stays below
// the 99.99 % quantile for nine degrees of freedom.
func TestSamplesAreUniform(t *testing.T) {
	const draws, cells = 20_000, 10
	var count [cells]int
	for _, u := range work.Samples([32]byte{1}, 1000, draws) {
		if u >= 1000 {
			t.Fatalf("unit %d of 1000", u)
		}
		count[u/100]++
	}
	var chi float64
	for _, c := range count {
		d := float64(c) - draws/cells
		chi += d * d / (draws / cells)
	}
	if chi > 33.7 {
		t.Errorf("chi-squared %.1f over %v", chi, count)
	}
}

func TestAuditors(t *testing.T) {
	cand := func(i int, operator, network string) work.Candidate {
		return work.Candidate{Key: key(t, byte(i)).Public(), Operator: operator, Network: network}
	}
	audited := cand(1, "a", "net1")
	cs := []work.Candidate{audited, cand(2, "a", "net2"), cand(3, "b", "net1"), cand(4, "c", "net2"), cand(5, "c", "net3"), cand(6, "d", "")}
	for s := uint32(0); s < 200; s++ {
		got := work.Auditors([32]byte{7}, s, audited, cs, 3)
		if len(got) != 3 {
			t.Fatalf("drew %d", len(got))
		}
		ops := map[string]bool{}
		for i, k := range got {
			j := slices.IndexFunc(cs, func(c work.Candidate) bool { return c.Key == k })
			if cs[j].Operator == "a" || ops[cs[j].Operator] {
				t.Fatalf("sample %d: operator %s audits itself or twice", s, cs[j].Operator)
			}
			ops[cs[j].Operator] = true
			if cs[j].Network == "net1" && i != 2 {
				t.Fatalf("sample %d: the near auditor comes before a far one", s)
			}
		}
		shuffled := slices.Clone(cs)
		rand.New(rand.NewPCG(uint64(s), 1)).Shuffle(len(cs), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if !slices.Equal(got, work.Auditors([32]byte{7}, s, audited, shuffled, 3)) {
			t.Fatal("the order of the candidates matters")
		}
	}
	if got := work.Auditors([32]byte{7}, 0, audited, cs[:2], 3); got != nil {
		t.Errorf("the worker's own operator audits: %v", got)
	}
}

func BenchmarkTree(b *testing.B) {
	ls := leaves(100_000, rand.New(rand.NewPCG(1, 1)))
	for b.Loop() {
		if _, err := work.NewTree(ls); err != nil {
			b.Fatal(err)
		}
	}
}
