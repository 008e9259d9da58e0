package trace

import (
	"math"

	"github.com/cantus-network/cantus/exact/referee"
)

// draw puts the tiles of the drawing of a token from all logits of a position.
func (r *recorder) draw(p *position, logits []int32) {
	d := r.c.NewDraw()
	has := func(s referee.Stage) bool { return r.c.Tiles(p.at, s) > 0 }
	l := referee.Place{Position: p.at, Layer: r.m.Layers}
	chunk := func(i int) (int, []int32) {
		from := i * referee.LogitChunk
		return from, logits[from:min(from+referee.LogitChunk, len(logits))]
	}
	// each puts what step makes of each chunk in turn.
	each := func(s referee.Stage, step func(from int, logits []int32) []byte) {
		for i := range r.c.Tiles(p.at, referee.Peak) {
			l.Stage, l.Tile = s, i
			r.put(p, l, step(chunk(i)))
		}
	}

	var peak referee.PeakTile
	each(referee.Peak, func(from int, logits []int32) []byte {
		peak.Add(from, logits)
		return peak.Append(nil)
	})
	var likely *referee.LikelyTile
	if has(referee.Likely) {
		likely = &referee.LikelyTile{}
		each(referee.Likely, func(from int, logits []int32) []byte {
			likely.Add(d, peak.Logit, from, logits)
			return likely.Append(nil)
		})
	}
	limit := uint64(math.MaxUint64)
	for _, s := range []referee.Stage{referee.KeepK, referee.KeepP} {
		if has(s) {
			limit = r.keepers(p, d, s, peak.Logit, limit, chunk)
		}
	}
	token, logit := peak.ID, peak.Logit
	if has(referee.Best) {
		best := referee.NewBest()
		each(referee.Best, func(from int, logits []int32) []byte {
			best.Add(d, p.at+1, peak.Logit, limit, from, logits)
			return best.Append(nil)
		})
		token, logit = best.ID, best.Logit
	}
	l.Stage, l.Tile = referee.Drawn, 0
	r.put(p, l, referee.DrawnOf(token, logit, peak.Logit, likely))
}

// keepers puts the passes that find the last place of what is left, and gives it.
func (r *recorder) keepers(p *position, d *referee.Draw, s referee.Stage, top int32, limit uint64, chunk func(i int) (int, []int32)) uint64 {
	chunks := r.c.Tiles(p.at, referee.Peak)
	l := referee.Place{Position: p.at, Layer: r.m.Layers, Stage: s}
	k := &referee.KeepTile{}
	for pass := range referee.Passes {
		for i := range chunks {
			from, logits := chunk(i)
			k.Add(d, s, pass, top, limit, from, logits)
			r.put(p, l, k.Append(nil))
			l.Tile++
		}
		k = k.Next(d, s, pass)
	}
	return k.Prefix
}
