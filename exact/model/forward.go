package model

import (
	"fmt"

	"github.com/cantus-network/cantus/exact"
	"github.com/cantus-network/cantus/exact/kernel"
)

// Row is one token to compute, at the position after those of its sequence; several rows
// of one sequence follow one another. Room must have been reserved.
type Row struct {
	Seq    *Sequence
	Token  uint32
	Logits []int32 // gets the logits after this token; nil if nobody wants them
	Hidden []int32 // gets what the output matrix would be multiplied with, before it is quantised; or nil
}

// MaxRows is the most rows of one pass.
const MaxRows = 512

// Runner computes forward passes with some threads. Not for concurrent use.
type Runner struct {
	m *Model
	k *kernel.Kernel
	t *threads

	observer Observer

	normed  [][]int64 // of each worker, as the two below
	scratch [][]int16
	att     []attention

	pos               []int
	x                 []int32 // residuals
	sin, cos          []int32
	in, mixIn, gateIn kernel.Acts // what the matrices are multiplied with
	q, keys, values   table
	gate, up, delta   table
	mixed             table
	qBlock            []int16
	qExps             []int
}

// table is wide values, a row for each token.
type table struct {
	all  []int32
	rows [][]int32
}

func (t *table) grow(n, columns int) {
	t.all, t.rows = fit(t.all, n*columns), fit(t.rows, n)
	for i := range t.rows {
		t.rows[i] = t.all[i*columns : (i+1)*columns]
	}
}

// NewRunner makes a runner of a model with a kernel, kernel.Best for speed, on threads
// goroutines; neither changes what it computes. Close ends the goroutines.
func NewRunner(m *Model, k *kernel.Kernel, n int) *Runner {
	r := &Runner{m: m, k: k, t: newThreads(n)}
	widest := max(m.Dim, m.Hidden, m.Queries(), m.HeadDim)
	for range r.t.n {
		r.normed = append(r.normed, make([]int64, widest))
		r.scratch = append(r.scratch, make([]int16, kernel.Padded(m.HeadDim)))
	}
	r.att = make([]attention, r.t.n)
	return r
}

// Close ends the runner's goroutines.
func (r *Runner) Close() { r.t.close() }

func fit[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// block makes room for n rows of columns; what lies past the columns stays 0.
func block(a *kernel.Acts, n, columns int) {
	a.Stride = kernel.Padded(columns)
	a.Q, a.Exps = fit(a.Q, n*a.Stride), fit(a.Exps, n)
}

// Forward computes rows. When it fails nothing has changed.
func (r *Runner) Forward(rows []Row) error {
	m := r.m
	if len(rows) == 0 || len(rows) > MaxRows {
		return fmt.Errorf("forward pass of %d rows: must be from 1 to %d", len(rows), MaxRows)
	}
	r.pos = fit(r.pos, len(rows))
	ahead := map[*Sequence]int{}
	for i, row := range rows {
		if int(row.Token) >= m.Vocab {
			return fmt.Errorf("token %d: the vocabulary has %d", row.Token, m.Vocab)
		}
		r.pos[i] = row.Seq.Len() + ahead[row.Seq]
		ahead[row.Seq]++
		if r.pos[i] >= len(row.Seq.pages)*PageTokens || r.pos[i] >= m.Context {
			return fmt.Errorf("position %d was not reserved", r.pos[i])
		}
		if row.Logits != nil && len(row.Logits) != m.Vocab {
			return fmt.Errorf("room for %d logits: the vocabulary has %d", len(row.Logits), m.Vocab)
		}
		if row.Hidden != nil && len(row.Hidden) != m.Dim {
			return fmt.Errorf("room for a hidden state of %d: the model has %d", len(row.Hidden), m.Dim)
		}
	}
	r.grow(len(rows))
	r.t.each(len(rows), 1, func(_, from, to int) {
		for i := from; i < to; i++ {
			m.embed.Embed(r.residual(i), int(rows[i].Token))
			n := m.RotaryPairs
			exact.SinCos(r.sin[i*n:(i+1)*n], r.cos[i*n:(i+1)*n], m.freq, r.pos[i])
		}
	})
	for l := range m.layers {
		r.attention(rows, l)
		r.feedForward(len(rows), l)
	}
	r.logits(rows)
	for _, row := range rows {
		row.Seq.commit(row.Token)
	}
	return nil
}

func (r *Runner) grow(n int) {
	m := r.m
	block(&r.in, n, m.Dim)
	block(&r.mixIn, n, m.Queries())
	block(&r.gateIn, n, m.Hidden)
	r.x = fit(r.x, n*m.Dim)
	r.mixed.grow(n, m.Queries())
	r.delta.grow(n, m.Dim)
	r.q.grow(n, m.Queries())
	r.keys.grow(n, m.KeyColumns())
	r.values.grow(n, m.KeyColumns())
	r.gate.grow(n, m.Hidden)
	r.up.grow(n, m.Hidden)
	r.qBlock, r.qExps = fit(r.qBlock, n*m.Heads*kernel.Padded(m.HeadDim)), fit(r.qExps, n*m.Heads)
	r.sin, r.cos = fit(r.sin, n*m.RotaryPairs), fit(r.cos, n*m.RotaryPairs)
}

func (r *Runner) residual(i int) []int32 { return r.x[i*r.m.Dim : (i+1)*r.m.Dim] }

// normalise makes row i of the residuals the input of the next matrices.
func (r *Runner) normalise(worker, i int, g exact.Gain) {
	y := r.normed[worker][:r.m.Dim]
	exp := exact.Norm(y, r.residual(i), g, r.m.Eps)
	r.in.Exps[i] = exact.Quantise(r.in.Q[i*r.in.Stride:], y, exp, exact.ActBits(r.m.Dim))
}

// product is one matrix and where its product goes.
type product struct {
	m   *kernel.Matrix
	dst [][]int32
}

// times multiplies the same activations with several matrices, shared out by panels.
func (r *Runner) times(x kernel.Acts, ps ...product) {
	n := 0
	for _, p := range ps {
		n += p.m.Panels()
	}
	r.t.each(n, max(1, min(32, n/(4*r.t.n))), func(_, from, to int) {
		for _, p := range ps {
			if a, b := max(from, 0), min(to, p.m.Panels()); a < b {
				p.m.Times(r.k, p.dst, x, a, b)
			}
			from, to = from-p.m.Panels(), to-p.m.Panels()
		}
	})
}

func (r *Runner) attention(rows []Row, l int) {
	m, w := r.m, &r.m.layers[l]
	n := len(rows)
	r.t.each(n, 1, func(worker, from, to int) {
		for i := from; i < to; i++ {
			r.normalise(worker, i, w.attnNorm)
		}
	})
	r.seeResiduals(l, StageResidual, n)
	r.seeActs(l, StageAttnIn, &r.in, m.Dim)
	r.times(r.in, product{w.query, r.q.rows}, product{w.key, r.keys.rows}, product{w.value, r.values.rows})
	r.seeTable(l, StageQuery, r.q.rows)
	r.seeTable(l, StageKey, r.keys.rows)
	r.seeTable(l, StageValue, r.values.rows)
	r.t.each(n, 1, func(worker, from, to int) {
		for i := from; i < to; i++ {
			r.place(worker, rows[i].Seq, i, l)
		}
	})
	r.seeHeads(l, rows)
	group := m.Heads / m.KVHeads
	head := kernel.Padded(m.HeadDim)
	r.t.each(n*m.KVHeads, 1, func(worker, from, to int) {
		for j := from; j < to; j++ {
			i, kvHead := j/m.KVHeads, j%m.KVHeads
			pos := r.pos[i]
			first := m.First(pos)
			a := &r.att[worker]
			var seen *Attended
			if r.observer != nil {
				seen = &a.seen
				seen.Scores, seen.Totals = seen.Scores[:0], seen.Totals[:0]
			}
			for h := kvHead * group; h < (kvHead+1)*group; h++ {
				q := i*m.Heads + h
				a.attend(r.k, rows[i].Seq, l, kvHead, r.qBlock[q*head:(q+1)*head], r.qExps[q], first, pos,
					r.mixed.all[q*m.HeadDim:(q+1)*m.HeadDim], seen)
			}
			if seen != nil {
				r.observer.Attention(i, l, kvHead, seen)
			}
		}
	})
	qc := m.Queries()
	r.t.each(n, 1, func(_, from, to int) {
		for i := from; i < to; i++ {
			r.mixIn.Exps[i] = exact.Quantise(r.mixIn.Q[i*r.mixIn.Stride:], r.mixed.rows[i], -exact.WideBits, exact.ActBits(qc))
		}
	})
	r.seeTable(l, StageMixed, r.mixed.rows)
	r.seeActs(l, StageMixIn, &r.mixIn, qc)
	r.times(r.mixIn, product{w.out, r.delta.rows})
	r.seeTable(l, StageAttnOut, r.delta.rows)
}

// place finishes the queries, keys and values of a row: biases, norms of heads, rotation,
// quantisation, and the keys and values into the cache.
func (r *Runner) place(worker int, s *Sequence, i, l int) {
	m, w := r.m, &r.m.layers[l]
	q, key, value := r.q.rows[i], r.keys.rows[i], r.values.rows[i]
	if m.QKVBias {
		exact.Accumulate(q, w.queryBias)
		exact.Accumulate(key, w.keyBias)
		exact.Accumulate(value, w.valueBias)
	}
	sin, cos := r.sin[i*m.RotaryPairs:(i+1)*m.RotaryPairs], r.cos[i*m.RotaryPairs:(i+1)*m.RotaryPairs]
	finish := func(x []int32, g exact.Gain) {
		if m.HeadNorm {
			y := r.normed[worker][:len(x)]
			exp := exact.Norm(y, x, g, m.Eps)
			exact.Widen(x, y, exp)
		}
		exact.Rotate(x, sin, cos, m.Halves)
	}
	d, head := m.HeadDim, kernel.Padded(m.HeadDim)
	for h := range m.Heads {
		x := q[h*d : (h+1)*d]
		finish(x, w.queryNorm)
		j := i*m.Heads + h
		r.qExps[j] = exact.Quantise(r.qBlock[j*head:(j+1)*head], x, -exact.WideBits, exact.HeadBits)
	}
	for h := range m.KVHeads {
		x := key[h*d : (h+1)*d]
		finish(x, w.keyNorm)
		s.store(l, h, r.pos[i], x, value[h*d:(h+1)*d], r.scratch[worker])
	}
}

func (r *Runner) feedForward(n, l int) {
	m, w := r.m, &r.m.layers[l]
	r.t.each(n, 1, func(worker, from, to int) {
		for i := from; i < to; i++ {
			exact.Accumulate(r.residual(i), r.delta.rows[i])
			r.normalise(worker, i, w.ffnNorm)
		}
	})
	r.seeResiduals(l, StageMiddle, n)
	r.seeActs(l, StageFFNIn, &r.in, m.Dim)
	r.times(r.in, product{w.gate, r.gate.rows}, product{w.up, r.up.rows})
	r.seeTable(l, StageGate, r.gate.rows)
	r.seeTable(l, StageUp, r.up.rows)
	r.t.each(n, 1, func(worker, from, to int) {
		for i := from; i < to; i++ {
			y := r.normed[worker][:m.Hidden]
			exact.Gate(y, r.gate.rows[i], r.up.rows[i])
			r.gateIn.Exps[i] = exact.Quantise(r.gateIn.Q[i*r.gateIn.Stride:], y, exact.GateExp, exact.ActBits(m.Hidden))
		}
	})
	r.seeActs(l, StageGated, &r.gateIn, m.Hidden)
	r.times(r.gateIn, product{w.down, r.delta.rows})
	r.seeTable(l, StageDown, r.delta.rows)
	r.t.each(n, 4, func(_, from, to int) {
		exact.Accumulate(r.x[from*m.Dim:to*m.Dim], r.delta.all[from*m.Dim:to*m.Dim])
	})
}

// logits multiplies the rows that want it with the output matrix.
func (r *Runner) logits(rows []Row) {
	m := r.m
	r.seeResiduals(m.Layers, StageFinal, len(rows))
	var want []int
	for i := range rows {
		if rows[i].Hidden != nil {
			y := r.normed[0][:m.Dim]
			exact.Widen(rows[i].Hidden, y, exact.Norm(y, r.residual(i), m.norm, m.Eps))
		}
		if rows[i].Logits != nil {
			want = append(want, i)
		}
	}
	r.t.each(len(want), 1, func(worker, from, to int) {
		for j := from; j < to; j++ {
			// Row want[j] ≥ j of the residuals, but row j of the input.
			y := r.normed[worker][:m.Dim]
			exp := exact.Norm(y, r.residual(want[j]), m.norm, m.Eps)
			r.in.Exps[j] = exact.Quantise(r.in.Q[j*r.in.Stride:], y, exp, exact.ActBits(m.Dim))
		}
	})
	if len(want) == 0 {
		return
	}
	dst := make([][]int32, len(want))
	for j, i := range want {
		dst[j] = rows[i].Logits
	}
	x := r.in
	x.Exps = x.Exps[:len(want)]
	r.times(x, product{m.output, dst})
	if r.observer != nil {
		for j, i := range want {
			r.observer.Block(i, m.Layers, StageOutputIn, 0, x.Q[j*x.Stride:j*x.Stride+m.Dim], x.Exps[j])
			r.observer.Wide(i, m.Layers, StageLogits, dst[j])
		}
	}
}
