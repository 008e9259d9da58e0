package main

import (
	"context"
	"iter"

	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/kinds/infer/measured"
)

// own is the project's own engine as a backend among others: int8 activations against the
// floating point of llama.cpp.
type own struct {
	m *model.Model
	e *model.Engine
	r *model.Runner
}

var _ measured.Backend = (*own)(nil)

func place(t model.Token) measured.Place {
	var p measured.Place
	for _, a := range t.Top {
		p = append(p, claim.Alternative{ID: a.ID, LogProb: min(a.LogProb, 0)})
	}
	return p
}

func (o *own) Continue(ctx context.Context, tokens []uint32, limit, top int) iter.Seq2[measured.Place, error] {
	return func(yield func(measured.Place, error) bool) {
		for t, err := range o.e.Generate(ctx, model.Request{Prompt: tokens, MaxTokens: limit, Top: top}) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(place(t), nil) {
				return
			}
		}
	}
}

func (o *own) Score(ctx context.Context, prompt, output []uint32, top int) ([]measured.Place, error) {
	var list []measured.Place
	cache := model.NewCache(o.m, (len(prompt)+len(output))/model.PageTokens+1)
	for t, err := range model.Redraw(ctx, o.r, cache, model.Request{Prompt: prompt, Top: top}, output, 64, true) {
		if err != nil {
			return nil, err
		}
		list = append(list, place(t))
	}
	return list, nil
}
