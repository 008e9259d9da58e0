package trace

import (
	"slices"
	"sync"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/merkle"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/referee"
)

// recorder makes tiles of what a runner computes in one pass. It is the runner's observer.
type recorder struct {
	c       *referee.Case
	m       *model.Config
	threads int
	change  func(l referee.Place, tile []byte) []byte // what a liar does; nil for nobody

	rows []*position    // nil for those that nobody asks about
	keep map[uint64]int // tiles that are wanted themselves: which of kept they are
	kept [][]byte
}

// position is what is recorded of one row.
type position struct {
	at     int
	hashes []referee.Digest // of all tiles
	key    []keyBlock       // until the values come
	gate   []int32
	up     []int32
}

type keyBlock struct {
	q   []int16
	exp int
}

// put takes a tile. Different tiles may be put at once.
func (r *recorder) put(p *position, l referee.Place, tile []byte) {
	if r.change != nil {
		tile = r.change(l, tile)
	}
	i := r.c.At(l)
	p.hashes[i-r.c.Positions()[p.at]] = merkle.Leaf(tile)
	if k, ok := r.keep[i]; ok {
		r.kept[k] = slices.Clone(tile)
	}
}

// split puts some elements of v in each tile.
func (r *recorder) split(p *position, layer int, s referee.Stage, v []int32, each int) {
	n := (len(v) + each - 1) / each
	share(r.threads, n, worth, func(from, to int) {
		var b []byte
		for i := from; i < to; i++ {
			b = referee.Wide(b[:0], v[i*each:min((i+1)*each, len(v))])
			r.put(p, referee.Place{Position: p.at, Layer: layer, Stage: s, Tile: i}, b)
		}
	})
}

// worth is how many hashes are worth a goroutine.
const worth = 256

// share does n things on several goroutines, unless they are fewer than least for each.
func share(threads, n, least int, f func(from, to int)) {
	parts := min(threads, n/least)
	if parts < 2 {
		f(0, n)
		return
	}
	var wait sync.WaitGroup
	for i := range parts {
		wait.Go(func() { f(n*i/parts, n*(i+1)/parts) })
	}
	wait.Wait()
}

// single is the stages that have one tile, by the names that a runner gives them, and
// products those that have some rows a tile.
var single = map[model.Stage]referee.Stage{
	model.StageResidual: referee.Residual, model.StageAttnIn: referee.AttnIn, model.StageMixIn: referee.MixIn,
	model.StageMiddle: referee.Middle, model.StageFFNIn: referee.FFNIn, model.StageFinal: referee.Final,
	model.StageOutputIn: referee.OutputIn,
}

var products = map[model.Stage]referee.Stage{
	model.StageQuery: referee.Query, model.StageKey: referee.Key, model.StageValue: referee.Value,
	model.StageAttnOut: referee.AttnOut, model.StageGate: referee.Gate, model.StageUp: referee.Up,
	model.StageDown: referee.Down, model.StageLogits: referee.Logits,
}

// columns is how many columns the matrix has that a product is of.
func (r *recorder) columns(s referee.Stage) int {
	switch s {
	case referee.AttnOut:
		return r.m.Queries()
	case referee.Down:
		return r.m.Hidden
	}
	return r.m.Dim
}

// Wide implements model.Observer.
func (r *recorder) Wide(row, layer int, s model.Stage, v []int32) {
	p := r.rows[row]
	if p == nil {
		return
	}
	if to, ok := products[s]; ok {
		r.split(p, layer, to, v, referee.RowsOf(r.columns(to)))
	} else if to, ok := single[s]; ok {
		r.put(p, referee.Place{Position: p.at, Layer: layer, Stage: to}, referee.Wide(nil, v))
	}
	switch s {
	case model.StageMixed:
		r.split(p, layer, referee.Mixed, v, r.m.Group()*r.m.HeadDim)
	case model.StageGate:
		p.gate = append(p.gate[:0], v...)
	case model.StageUp:
		p.up = append(p.up[:0], v...)
	case model.StageLogits:
		r.draw(p, v)
	}
}

// Block implements model.Observer.
func (r *recorder) Block(row, layer int, s model.Stage, head int, q []int16, exp int) {
	p := r.rows[row]
	if p == nil {
		return
	}
	l := referee.Place{Position: p.at, Layer: layer, Tile: head}
	switch s {
	case model.StageQueries:
		l.Stage = referee.Queries
		r.put(p, l, referee.Block(nil, q, exp))
	case model.StageKeys:
		if p.key == nil {
			p.key = make([]keyBlock, r.m.KVHeads)
		}
		p.key[head] = keyBlock{append(p.key[head].q[:0], q...), exp}
	case model.StageValues:
		l.Stage = referee.KeyValue
		r.put(p, l, referee.KeyValueTile(nil, p.key[head].q, p.key[head].exp, q, exp))
	case model.StageGated:
		r.gated(p, layer, q)
	default:
		l.Stage = single[s]
		r.put(p, l, referee.Block(nil, q, exp))
	}
}

// gated puts what the gate makes, and how many bits it has so far.
func (r *recorder) gated(p *position, layer int, q []int16) {
	n := referee.GateChunk
	y := make([]int64, n)
	var bits int32
	for i := 0; i*n < len(q); i++ {
		from, to := i*n, min((i+1)*n, len(q))
		exact.Gate(y[:to-from], p.gate[from:to], p.up[from:to])
		bits = referee.Magnitude(y[:to-from], bits)
		l := referee.Place{Position: p.at, Layer: layer, Stage: referee.Bits, Tile: i}
		r.put(p, l, referee.Wide(nil, []int32{bits}))
		l.Stage = referee.Gated
		r.put(p, l, referee.Mantissas(nil, q[from:to]))
	}
}

// Attention implements model.Observer.
func (r *recorder) Attention(row, layer, kvHead int, a *model.Attended) {
	p := r.rows[row]
	if p == nil {
		return
	}
	group, d, n := r.m.Group(), r.m.HeadDim, len(a.Exps)
	first := a.First / referee.Page
	pages := p.at/referee.Page - first + 1
	// What all of it comes to.
	tops := make([]int32, group)
	for h := range tops {
		tops[h] = slices.Max(a.Scores[h*n : (h+1)*n])
	}
	s := referee.ScoresTile{High: int32(a.Exps[0]), Tops: make([]int32, group)}
	x := referee.MixTile{Sums: make([]uint64, group), Totals: make([]int64, group*d)}
	for h := range group {
		s.Tops[h] = a.Scores[h*n]
	}
	var b []byte
	for i := range pages {
		from, to := max((first+i)*referee.Page, a.First)-a.First, min((first+i+1)*referee.Page, p.at+1)-a.First
		s.Exps, s.Scores = s.Exps[:0], s.Scores[:0]
		for _, e := range a.Exps[from:to] {
			s.Exps = append(s.Exps, int32(e))
			s.High = max(s.High, int32(e))
		}
		for h := range group {
			scores := a.Scores[h*n+from : h*n+to]
			s.Scores = append(s.Scores, scores...)
			for _, v := range scores {
				s.Tops[h] = max(s.Tops[h], v)
				x.Sums[h] += uint64(exact.Exp2(uint64(int64(tops[h]) - int64(v))))
			}
			copy(x.Totals[h*d:(h+1)*d], a.Totals[(h*pages+i)*d:])
		}
		l := referee.Place{Position: p.at, Layer: layer, Stage: referee.Scores, Tile: kvHead*pages + i}
		b = s.Append(b[:0])
		r.put(p, l, b)
		l.Stage = referee.Mix
		b = x.Append(b[:0])
		r.put(p, l, b)
	}
}
