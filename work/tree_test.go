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

// As many draws as receipts of the same price miss none.
func TestSamplesMissNothingAtFullRate(t *testing.T) {
	for beacon := range byte(50) {
		for _, units := range []uint64{1, 3, 86} {
			for n := 1; n <= 12; n++ {
				drawn := make([]int, n)
				for _, u := range work.Samples([32]byte{beacon}, uint64(n)*units, n) {
					drawn[u/units]++
				}
				if slices.ContainsFunc(drawn, func(times int) bool { return times != 1 }) {
					t.Fatalf("%d receipts of %d units are drawn %v times", n, units, drawn)
				}
			}
		}
		for _, u := range work.Samples([32]byte{beacon}, 2, 5) {
			if u > 1 {
				t.Fatalf("unit %d of 2", u)
			}
		}
	}
	if draws := work.Samples([32]byte{1}, math.MaxUint64, 3); draws[0] >= draws[1] || draws[1] >= draws[2] {
		t.Fatalf("%v are not of three parts in a row", draws)
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

func TestEpochSamples(t *testing.T) {
	beacon := [32]byte{7}
	shape := work.Shape{Receipts: 1000, Units: 5000, ProbationReceipts: 100, ProbationUnits: 300}
	rates := work.Rates{AuditBps: 100, ProbationBps: 2000, MaxSamples: 64}
	draws := work.EpochSamples(beacon, shape, rates)
	first := 0
	for i, u := range draws {
		if u < 300 {
			first++
			if first != i+1 {
				t.Fatalf("sample %d falls on a unit of the probation part, behind others", i)
			}
		}
		if u >= 5000 {
			t.Fatalf("sample %d is unit %d of 5000", i, u)
		}
	}
	if first != 20 || len(draws) != 29 {
		t.Errorf("%d samples, %d of them on probation, want 29 and 20", len(draws), first)
	}
	shape.ProbationReceipts, shape.ProbationUnits = 0, 0
	if got, want := work.EpochSamples(beacon, shape, rates), work.Samples(beacon, 5000, 10); !slices.Equal(got, want) {
		t.Errorf("without probation %v, want %v", got, want)
	}
	for _, c := range []struct {
		shape work.Shape
		max   uint32
		want  int
	}{
		{work.Shape{Receipts: 10, Units: 10, ProbationReceipts: 10, ProbationUnits: 10}, 64, 2},
		{work.Shape{Receipts: 1000, Units: 1000, ProbationReceipts: 999, ProbationUnits: 999}, 8, 8},
		{work.Shape{Receipts: 2, Units: 2, ProbationReceipts: 1, ProbationUnits: 1}, 1, 1},
		{work.Shape{Receipts: 2, Units: 2, ProbationReceipts: 1, ProbationUnits: 2}, 8, 1},
		{work.Shape{}, 8, 0},
	} {
		if got := len(work.EpochSamples(beacon, c.shape, work.Rates{AuditBps: 100, ProbationBps: 2000, MaxSamples: c.max})); got != c.want {
			t.Errorf("%+v at most %d: %d samples, want %d", c.shape, c.max, got, c.want)
		}
	}
}

func TestPlants(t *testing.T) {
	p := work.Plants{Chain: "c", Job: 1, Epoch: 2, Indices: []uint64{3, 9}, Salt: [32]byte{1}}
	c, err := p.Commitment()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Check(c); err != nil {
		t.Error(err)
	}
	if !p.Has(9) || p.Has(4) {
		t.Error("Has is wrong")
	}
	for name, change := range map[string]func(*work.Plants){
		"chain": func(p *work.Plants) { p.Chain = "d" },
		"job":   func(p *work.Plants) { p.Job++ },
		"epoch": func(p *work.Plants) { p.Epoch++ },
		"fewer": func(p *work.Plants) { p.Indices = p.Indices[:1] },
		"none":  func(p *work.Plants) { p.Indices = nil },
		"order": func(p *work.Plants) { p.Indices = []uint64{9, 3} },
		"twice": func(p *work.Plants) { p.Indices = []uint64{3, 3} },
		"many":  func(p *work.Plants) { p.Indices = make([]uint64, work.MaxPlants+1) },
		"salt":  func(p *work.Plants) { p.Salt[31]++ },
	} {
		q := p
		q.Indices = slices.Clone(p.Indices)
		change(&q)
		if q.Check(c) == nil {
			t.Errorf("%s changed, and the commitment still holds", name)
		}
	}
}

func TestCellOf(t *testing.T) {
	names := []string{"a", "b", "c", "d"}
	count := map[string]int{}
	moved := 0
	for i := range 4000 {
		k := work.PublicKey{byte(i), byte(i >> 8), 1}
		c := work.CellOf(k, names)
		count[c]++
		if back := work.CellOf(k, []string{"d", "c", "b", "a"}); back != c {
			t.Fatalf("the order of the names matters: %s or %s", c, back)
		}
		if now := work.CellOf(k, []string{"a", "b", "c", "d", "e"}); now != c {
			moved++
			if now != "e" {
				t.Fatalf("a worker moved from %s to %s because e came", c, now)
			}
		}
	}
	for n, c := range count {
		if c < 850 || c > 1150 {
			t.Errorf("cell %s got %d of 4000 workers", n, c)
		}
	}
	if moved < 650 || moved > 950 {
		t.Errorf("%d of 4000 workers moved to a fifth cell", moved)
	}
	if got := work.CellOf(work.PublicKey{1}, nil); got != "" {
		t.Errorf("a cell of none: %q", got)
	}
}
