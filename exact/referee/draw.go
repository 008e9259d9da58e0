package referee

import (
	"math"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/claim"
)

// What top-k and top-p leave of the logits is all up to some place in their order: the
// highest first, the lower id first of equal ones. A logit's place is a number of orderBits
// bits, so the last one that is left is found digit by digit from the top: each pass over
// the logits sums, for each value of the next digit, what counts among those that agree
// with the digits found so far.
const (
	idBits    = 18 // of tokens
	orderBits = 32 + idBits
	digitBits = 5
	digits    = 1 << digitBits
	Passes    = orderBits / digitBits
	keepBytes = 8 * (3 + digits)
)

// order is the place of a logit: the lower, the likelier.
func order(logit int32, id uint32) uint64 {
	return uint64(int64(math.MaxInt32)-int64(logit))<<idBits | uint64(id)
}

// byK and byP say whether the task has tokens kept in that way.
func (c *Case) byK() bool {
	s := &c.task.Sampling
	return s.Temperature != 0 && s.TopK != 0 && int64(s.TopK) < int64(c.conf.Vocab)
}

func (c *Case) byP() bool {
	s := &c.task.Sampling
	return s.Temperature != 0 && s.TopP != 0 && s.TopP < exact.Million
}

// Draw computes the tiles of the drawing of a token from logits; the referee does so one by
// one, with what it is shown of the logits, whoever has all of them in a row.
type Draw struct {
	Sampling  exact.Sampling
	Vocab     int
	Top       int // how many of the likeliest are told
	steepness int64
}

// NewDraw is the drawing that a task asks of a model for.
func (c *Case) NewDraw() *Draw {
	d := &Draw{Sampling: c.task.Sampling, Vocab: c.conf.Vocab, Top: int(c.task.Top)}
	if d.Sampling.Temperature != 0 {
		d.steepness = d.Sampling.Steepness()
	}
	return d
}

// PeakTile is the highest logit so far, and the first token that has it.
type PeakTile struct {
	Logit int32
	ID    uint32
}

// Append writes the tile.
func (p *PeakTile) Append(b []byte) []byte { return put32(put32(b, p.Logit), p.ID) }

func readPeak(b []byte) *PeakTile {
	r := reader(b)
	return &PeakTile{Logit: r.i32(), ID: uint32(r.i32())}
}

// Add goes on with logits from token first on. Before the first of all PeakTile is its zero
// value.
func (p *PeakTile) Add(first int, logits []int32) {
	for i, l := range logits {
		if id := first + i; id == 0 || l > p.Logit {
			p.Logit, p.ID = l, uint32(id)
		}
	}
}

// LikelyTile is the sum of all shares so far, and the likeliest tokens.
type LikelyTile struct {
	Sum uint64
	Top []PeakTile
}

// Append writes the tile; there are at least as many tokens as are told.
func (l *LikelyTile) Append(b []byte) []byte {
	b = put64(b, l.Sum)
	for i := range l.Top {
		b = l.Top[i].Append(b)
	}
	return b
}

func readLikely(b []byte) *LikelyTile {
	r := reader(b)
	l := &LikelyTile{Sum: r.u64()}
	for len(r) > 0 {
		l.Top = append(l.Top, *readPeak(r.next(8)))
	}
	return l
}

// Add goes on with logits from token first on, top being the highest of all.
func (l *LikelyTile) Add(d *Draw, top int32, first int, logits []int32) {
	for i, v := range logits {
		l.Sum += exact.Share(top, v)
		at := len(l.Top)
		for at > 0 && v > l.Top[at-1].Logit {
			at--
		}
		if at >= d.Top {
			continue
		}
		if len(l.Top) < d.Top {
			l.Top = append(l.Top, PeakTile{})
		}
		copy(l.Top[at+1:], l.Top[at:])
		l.Top[at] = PeakTile{v, uint32(first + i)}
	}
}

// KeepTile is one pass of finding the last logit that is left.
type KeepTile struct {
	Prefix uint64 // the digits found so far
	Base   uint64 // what counts before all that begin with them
	Total  uint64 // all that counts, for KeepP once the first pass is over
	Sums   [digits]uint64
}

// Append writes the tile.
func (k *KeepTile) Append(b []byte) []byte {
	return put64(put64(b, k.Prefix, k.Base, k.Total), k.Sums[:]...)
}

func readKeep(b []byte) *KeepTile {
	r := reader(b)
	k := &KeepTile{Prefix: r.u64(), Base: r.u64(), Total: r.u64()}
	for i := range k.Sums {
		k.Sums[i] = r.u64()
	}
	return k
}

// Next is where the pass after this one begins, this one being over; after the last one
// its Prefix is the place of the last logit that is left.
func (k *KeepTile) Next(d *Draw, s Stage, pass int) *KeepTile {
	n := &KeepTile{Base: k.Base, Total: k.Total}
	if s == KeepP && pass == 0 {
		for _, v := range k.Sums {
			n.Total += v
		}
	}
	digit := 0
	for ; digit < digits-1; digit++ {
		sum := n.Base + k.Sums[digit]
		if s == KeepK && sum >= uint64(d.Sampling.TopK) || s == KeepP && exact.Reaches(sum, n.Total, d.Sampling.TopP) {
			break
		}
		n.Base = sum
	}
	n.Prefix = k.Prefix<<digitBits | uint64(digit)
	return n
}

// Add goes on with logits from token first on, of those that are at most at place limit.
func (k *KeepTile) Add(d *Draw, s Stage, pass int, top int32, limit uint64, first int, logits []int32) {
	shift := uint(orderBits - digitBits*(pass+1))
	for i, l := range logits {
		o := order(l, uint32(first+i))
		if o > limit || o>>shift>>digitBits != k.Prefix {
			continue
		}
		counts := uint64(1)
		if s == KeepP {
			counts = exact.Mass(exact.Cost(top, l, d.steepness))
		}
		k.Sums[o>>shift%digits] += counts
	}
}

// BestTile is the highest logit with noise so far, of those that are left.
type BestTile struct {
	Value int64
	Logit int32
	ID    uint32
}

// NewBest is where a search for the best begins.
func NewBest() *BestTile { return &BestTile{Value: math.MinInt64} }

// Append writes the tile.
func (x *BestTile) Append(b []byte) []byte {
	return put32(put32(put64(b, x.Value), x.Logit), x.ID)
}

func readBest(b []byte) *BestTile {
	r := reader(b)
	return &BestTile{Value: int64(r.u64()), Logit: r.i32(), ID: uint32(r.i32())}
}

// Add goes on with logits from token first on, for the token at a position.
func (x *BestTile) Add(d *Draw, position int, top int32, limit uint64, first int, logits []int32) {
	for i, l := range logits {
		id := uint32(first + i)
		if order(l, id) > limit {
			continue
		}
		cost := exact.Cost(top, l, d.steepness)
		if -cost <= x.Value {
			continue // noise is at most 0, and of equal ones the first stays
		}
		if v := exact.Noise(&d.Sampling.Seed, uint64(position), id) - cost; v > x.Value {
			*x = BestTile{v, l, id}
		}
	}
}

// DrawnTile is the last tile of a position that a token is drawn at: the token, and if the
// task asks for them the logarithms of its probability and of the likeliest ones'.
func DrawnTile(token uint32, told bool, log int32, top []claim.Alternative) []byte {
	b := put32(nil, token)
	if !told {
		return b
	}
	b = put32(b, log)
	for _, a := range top {
		b = put32(put32(b, a.ID), a.LogProb)
	}
	return b
}

// DrawnOf is what that tile is, given the token and its logit, the highest one, and the
// last tile of Likely, nil if none is wanted.
func DrawnOf(token uint32, logit, top int32, l *LikelyTile) []byte {
	if l == nil {
		return DrawnTile(token, false, 0, nil)
	}
	log := exact.LogOf(max(l.Sum, 1))
	var list []claim.Alternative
	for _, p := range l.Top {
		list = append(list, claim.Alternative{ID: p.ID, LogProb: exact.LogProb(p.Logit, top, log)})
	}
	return DrawnTile(token, true, exact.LogProb(logit, top, log), list)
}

// Claimed is the tile that the result itself says: Drawn of a position that a token is
// drawn at, or Hidden of the last one where an embedding is wanted.
func (c *Case) Claimed(position int) (leaf uint64, tile []byte, ok bool) {
	switch {
	case position < 0 || position >= c.positions():
		return 0, nil, false
	case c.draws(position):
		i := position + 1 - len(c.task.Prompt)
		l := Place{position, c.conf.Layers, Drawn, 0}
		var log int32
		var top []claim.Alternative
		if c.task.LogProbs {
			log, top = c.result.LogProbs[i], c.result.TopOf(i)
		}
		return c.At(l), DrawnTile(c.result.Output[i], c.task.LogProbs, log, top), true
	case c.Tiles(position, Hidden) == 1:
		return c.At(Place{position, c.conf.Layers, Hidden, 0}), Wide(nil, c.result.Embedding), true
	}
	return 0, nil, false
}

// logits asks for a chunk of them.
func (b *maker) logits(chunk int) (first int, read func(in *inputs) []int32) {
	first = chunk * LogitChunk
	n := min(LogitChunk, b.conf.Vocab-first)
	i, _ := b.elements(Logits, first, n, RowsOf(b.conf.Dim))
	return first, func(in *inputs) []int32 { return wide(in.tiles[i]) }
}

// limit asks for the last place that is left, of what the stages up to s find.
func (b *maker) limit(d *Draw, s Stage) func(in *inputs) uint64 {
	for ; s >= KeepK; s-- {
		if b.Tiles(b.Position, s) > 0 {
			i := b.last(s)
			return func(in *inputs) uint64 { return readKeep(in.tiles[i]).Next(d, s, Passes-1).Prefix }
		}
	}
	return func(*inputs) uint64 { return math.MaxUint64 }
}

// running asks for the tile before this one, if it is not the first.
func (b *maker) running() (i int) {
	if b.Tile == 0 {
		return -1
	}
	return b.before()
}

func (b *maker) peak() {
	first, logits := b.logits(b.Tile)
	before := b.running()
	b.ops = LogitChunk
	b.eval = func(in *inputs) []byte {
		p := &PeakTile{}
		if before >= 0 {
			p = readPeak(in.tiles[before])
		}
		p.Add(first, logits(in))
		return p.Append(nil)
	}
}

func (b *maker) likely() {
	d := b.NewDraw()
	first, logits := b.logits(b.Tile)
	peak, before := b.last(Peak), b.running()
	b.ops = 8 * LogitChunk
	b.eval = func(in *inputs) []byte {
		l := &LikelyTile{}
		if before >= 0 {
			l = readLikely(in.tiles[before])
		}
		l.Add(d, readPeak(in.tiles[peak]).Logit, first, logits(in))
		return l.Append(nil)
	}
}

func (b *maker) keep() {
	d, s := b.NewDraw(), b.Stage
	chunks := b.chunks()
	pass, chunk := b.Tile/chunks, b.Tile%chunks
	first, logits := b.logits(chunk)
	peak, before := b.last(Peak), b.running()
	limit := b.limit(d, s-1)
	b.ops = 8 * LogitChunk
	b.eval = func(in *inputs) []byte {
		k := &KeepTile{}
		if before >= 0 {
			k = readKeep(in.tiles[before])
			if chunk == 0 {
				k = k.Next(d, s, pass-1)
			}
		}
		k.Add(d, s, pass, readPeak(in.tiles[peak]).Logit, limit(in), first, logits(in))
		return k.Append(nil)
	}
}

func (b *maker) best() {
	d := b.NewDraw()
	first, logits := b.logits(b.Tile)
	peak, before := b.last(Peak), b.running()
	limit := b.limit(d, KeepP)
	position := b.Position + 1 // of the token
	b.ops = 256 * LogitChunk   // a hash for each
	b.eval = func(in *inputs) []byte {
		x := NewBest()
		if before >= 0 {
			x = readBest(in.tiles[before])
		}
		x.Add(d, position, readPeak(in.tiles[peak]).Logit, limit(in), first, logits(in))
		return x.Append(nil)
	}
}

func (b *maker) drawn() {
	peak, best, likely := b.last(Peak), -1, -1
	if b.task.Sampling.Temperature != 0 {
		best = b.last(Best)
	}
	if b.task.LogProbs {
		likely = b.last(Likely)
	}
	b.ops = 8 * (1 + uint64(b.task.Top))
	b.eval = func(in *inputs) []byte {
		p := readPeak(in.tiles[peak])
		token, logit := p.ID, p.Logit
		if best >= 0 {
			x := readBest(in.tiles[best])
			token, logit = x.ID, x.Logit
		}
		var l *LikelyTile
		if likely >= 0 {
			l = readLikely(in.tiles[likely])
		}
		return DrawnOf(token, logit, p.Logit, l)
	}
}
