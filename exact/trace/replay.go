package trace

import (
	"context"
	"fmt"

	"github.com/cantus-network/cantus/exact/merkle"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/referee"
)

// passBytes is about how much memory the hashes of one pass take, maxRows how many
// positions it has at most.
const (
	passBytes = 128 << 20
	maxRows   = 64
)

// rowsOf is how many positions are recorded in one pass.
func (t *Tracer) rowsOf() int {
	starts := t.c.Positions()
	last := starts[len(starts)-1] - starts[len(starts)-2] // no position has more, about
	return int(min(max(passBytes/(last*uint64(len(referee.Digest{}))), 1), maxRows))
}

// pass computes the positions that follow a sequence up to position to, and records those
// that want is true for.
func (t *Tracer) pass(s *model.Sequence, to int, want func(p int) bool, keep map[uint64]int, kept [][]byte) ([]*position, error) {
	from, m := s.Len(), &t.m.Config
	r := &recorder{c: t.c, m: m, threads: t.threads, change: t.change, keep: keep, kept: kept}
	rows := make([]model.Row, to-from)
	starts := t.c.Positions()
	for i := range rows {
		p := from + i
		rows[i] = model.Row{Seq: s, Token: t.c.Token(p)}
		if !want(p) {
			r.rows = append(r.rows, nil)
			continue
		}
		r.rows = append(r.rows, &position{at: p, hashes: make([]referee.Digest, starts[p+1]-starts[p])})
		if t.c.Tiles(p, referee.Logits) > 0 {
			rows[i].Logits = make([]int32, m.Vocab)
		}
		if t.c.Tiles(p, referee.Hidden) > 0 {
			rows[i].Hidden = make([]int32, m.Dim)
		}
	}
	t.runner.Observe(r)
	defer t.runner.Observe(nil)
	if err := t.runner.Forward(rows); err != nil {
		return nil, err
	}
	for i, p := range r.rows {
		if p != nil && rows[i].Hidden != nil {
			r.put(p, referee.Place{Position: p.at, Layer: m.Layers, Stage: referee.Hidden}, referee.Wide(nil, rows[i].Hidden))
		}
	}
	return r.rows, nil
}

// replay computes the whole answer and keeps the nodes of the lowest level that there is
// room for.
func (t *Tracer) replay(ctx context.Context) error {
	n := len(t.c.Positions()) - 1
	seq := t.cache.NewSequence(nil)
	defer seq.Release()
	if err := seq.Reserve(n); err != nil {
		return err
	}
	t.wrong = -1
	var nodes, pending []referee.Digest
	for rows := t.rowsOf(); seq.Len() < n; {
		if err := ctx.Err(); err != nil {
			return err
		}
		got, err := t.pass(seq, min(seq.Len()+rows, n), func(int) bool { return true }, nil, nil)
		if err != nil {
			return err
		}
		for _, p := range got {
			if leaf, claimed, ok := t.c.Claimed(p.at); ok && t.wrong < 0 && p.hashes[leaf-t.c.Positions()[p.at]] != merkle.Leaf(claimed) {
				t.wrong = p.at
			}
			pending = append(pending, p.hashes...)
		}
		whole := len(pending) &^ (1<<uint(4*t.level) - 1)
		if seq.Len() == n {
			whole = len(pending)
		}
		nodes = append(nodes, t.over(pending[:whole], t.level)...)
		pending = append(pending[:0], pending[whole:]...)
	}
	t.tree = [][]referee.Digest{nodes}
	for len(nodes) > 1 {
		nodes = t.over(nodes, 1)
		t.tree = append(t.tree, nodes)
	}
	return nil
}

// over is the nodes that lie some levels above the given ones.
func (t *Tracer) over(list []referee.Digest, levels int) []referee.Digest {
	block := 1 << uint(4*levels)
	out := make([]referee.Digest, (len(list)+block-1)/block)
	share(t.threads, len(out), max(worth/block, 1), func(from, to int) {
		for i := from; i < to; i++ {
			out[i] = merkle.Root(list[i*block : min((i+1)*block, len(list))])
		}
	})
	return out
}

// load computes again the positions that some blocks of tiles and some tiles belong to, and
// keeps the hashes of the former's tiles, in place of those it had, and gives the latter.
func (t *Tracer) load(ctx context.Context, blocks map[uint64]bool, tiles []uint64) ([][]byte, error) {
	starts, leaves := t.c.Positions(), t.c.Leaves()
	fresh := map[uint64][]referee.Digest{}
	need := make([]bool, len(starts)-1)
	size := uint64(1) << uint(4*t.level)
	for b := range blocks {
		if have, ok := t.blocks[b]; ok {
			fresh[b] = have
			continue
		}
		from, to := b*size, min((b+1)*size, leaves)
		fresh[b] = make([]referee.Digest, to-from)
		for p := t.c.Locate(from).Position; p < len(need) && starts[p] < to; p++ {
			need[p] = true
		}
	}
	keep, kept := map[uint64]int{}, make([][]byte, len(tiles))
	for i, tile := range tiles {
		keep[tile] = i
		need[t.c.Locate(tile).Position] = true
	}
	for p := 0; p < len(need); {
		if !need[p] {
			p++
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		got, next, err := t.again(p, need, keep, kept)
		if err != nil {
			return nil, err
		}
		for _, r := range got {
			if r == nil {
				continue
			}
			first := starts[r.at]
			for i := 0; i < len(r.hashes); {
				at := first + uint64(i)
				b, in := at/size, int(at%size)
				n := min(len(r.hashes)-i, int(size)-in)
				if list, ok := fresh[b]; ok {
					copy(list[in:], r.hashes[i:i+n])
				}
				i += n
			}
		}
		p = next
	}
	t.blocks = fresh
	return kept, nil
}

// again computes the position p and those after it that are needed as well, in one pass; next
// is the first one that was not.
func (t *Tracer) again(p int, need []bool, keep map[uint64]int, kept [][]byte) (got []*position, next int, err error) {
	rows := t.rowsOf()
	to := p + 1
	for i := p; i < min(p+rows, len(need)); i++ {
		if need[i] {
			to = i + 1
		}
	}
	prefix := make([]uint32, p+1)
	for i := range prefix {
		prefix[i] = t.c.Token(i)
	}
	// What the first replay left in the cache is not computed again.
	seq := t.cache.NewSequence(prefix)
	defer seq.Release()
	if err := seq.Reserve(to - seq.Len()); err != nil {
		return nil, 0, err
	}
	for seq.Len() < p {
		// Only if the cache had to make room.
		if _, err := t.pass(seq, min(seq.Len()+model.PageTokens, p), func(int) bool { return false }, nil, nil); err != nil {
			return nil, 0, err
		}
	}
	got, err = t.pass(seq, to, func(p int) bool { return need[p] }, keep, kept)
	if err != nil {
		return nil, 0, fmt.Errorf("compute positions %d to %d again: %w", p, to-1, err)
	}
	return got, to, nil
}
