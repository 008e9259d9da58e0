package model

import "github.com/cantus-network/cantus/exact/kernel"

// Stage names what a layer computes of a row, in this order. Each stage follows from those
// before it by one function of package exact, so two parties that disagree on logits can
// find the first stage, and in it the first element, that they disagree on, and a referee
// needs only that function's input.
type Stage string

// The stages of a layer. Wide ones are given as they are; blocks with their exponent.
const (
	StageResidual Stage = "residual"  // wide: what the layer begins with
	StageAttnIn   Stage = "attn_in"   // block: Norm of the residual
	StageQuery    Stage = "query"     // wide: product, before its bias
	StageKey      Stage = "key"       // wide
	StageValue    Stage = "value"     // wide
	StageQueries  Stage = "queries"   // block for each head: with bias, norm and rotation
	StageKeys     Stage = "keys"      // block for each key head
	StageValues   Stage = "values"    // block for each key head
	StageMixed    Stage = "mixed"     // wide: what the heads saw
	StageMixIn    Stage = "mix_in"    // block
	StageAttnOut  Stage = "attn_out"  // wide: product
	StageMiddle   Stage = "middle"    // wide: the residual with it added
	StageFFNIn    Stage = "ffn_in"    // block: Norm of that
	StageGate     Stage = "gate"      // wide: product
	StageUp       Stage = "up"        // wide: product
	StageGated    Stage = "gated"     // block: of both
	StageDown     Stage = "down"      // wide: product
	StageFinal    Stage = "final"     // wide: the residual after the last layer; its layer is that after it
	StageOutputIn Stage = "output_in" // block: Norm of that, of rows whose logits are wanted
	StageLogits   Stage = "logits"    // wide
)

// Observer sees what a Runner computes. What it is given is only lent for the call. head
// is 0 for what is not of one head.
type Observer interface {
	// Wide and Block are called on the goroutine that calls Forward, rows in their order.
	Wide(row, layer int, s Stage, v []int32)
	Block(row, layer int, s Stage, head int, q []int16, exp int)
	// Attention is called on any goroutine of the Runner's, for several rows and heads at
	// once; for a row it is called after its keys and values were shown, and before Mixed.
	Attention(row, layer, kvHead int, a *Attended)
}

// Attended is what the query heads of one key head saw, of the positions from First to the
// row's own.
type Attended struct {
	First  int
	Exps   []int8  // exponents of the values
	Scores []int32 // of each query head in turn
	Totals []int64 // of each query head in turn, for each page: the sums of weight times value up to there
}

// Observe has an observer called from now on; nil for none. It changes nothing of what is
// computed.
func (r *Runner) Observe(o Observer) { r.observer = o }

func (r *Runner) seeResiduals(layer int, s Stage, n int) {
	if r.observer != nil {
		for i := range n {
			r.observer.Wide(i, layer, s, r.residual(i))
		}
	}
}

func (r *Runner) seeTable(layer int, s Stage, rows [][]int32) {
	if r.observer != nil {
		for i, v := range rows {
			r.observer.Wide(i, layer, s, v)
		}
	}
}

func (r *Runner) seeActs(layer int, s Stage, a *kernel.Acts, columns int) {
	if r.observer != nil {
		for i, exp := range a.Exps {
			r.observer.Block(i, layer, s, 0, a.Q[i*a.Stride:i*a.Stride+columns], exp)
		}
	}
}

// seeHeads shows queries, and keys and values as they lie in the cache.
func (r *Runner) seeHeads(layer int, rows []Row) {
	if r.observer == nil {
		return
	}
	m, d := r.m, r.m.HeadDim
	head := kernel.Padded(d)
	value := make([]int16, d)
	for i := range rows {
		for h := range m.Heads {
			j := i*m.Heads + h
			r.observer.Block(i, layer, StageQueries, h, r.qBlock[j*head:j*head+d], r.qExps[j])
		}
		s := rows[i].Seq
		pg := s.cache.pages[s.pages[r.pos[i]/PageTokens]]
		p := r.pos[i] % PageTokens
		for h := range m.KVHeads {
			at := s.cache.at(layer, h)
			r.observer.Block(i, layer, StageKeys, h, pg.keys[(at+p)*head:(at+p)*head+d], int(pg.keyExps[at+p]))
			for k := range value {
				value[k] = pg.values[at*head+kernel.ValueIndex(p, k, head)]
			}
			r.observer.Block(i, layer, StageValues, h, value, int(pg.valueExps[at+p]))
		}
	}
}
