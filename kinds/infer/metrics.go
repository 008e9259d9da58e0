package infer

import (
	"errors"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what an operator watches: of a gateway's tabs above, of a worker's engines
// below.
type metrics struct {
	all []prometheus.Collector

	refused            *prometheus.CounterVec
	asked, tokens      *prometheus.CounterVec
	changed, again     prometheus.Counter
	firstToken, answer prometheus.Histogram

	prefilled, generated prometheus.Counter
}

func newMetrics(reg prometheus.Registerer, k *Kind) (*metrics, error) {
	m := &metrics{}
	const space, sub = "cantus", "infer"
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: space, Subsystem: sub, Name: name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	vec := func(name, label, help string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: space, Subsystem: sub, Name: name, Help: help}, []string{label})
		m.all = append(m.all, c)
		return c
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		h := prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: space, Subsystem: sub, Name: name, Help: help, Buckets: buckets})
		m.all = append(m.all, h)
		return h
	}
	gauge := func(name, help string, f func() float64) {
		m.all = append(m.all, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: space, Subsystem: sub, Name: name, Help: help}, f))
	}
	m.asked = vec("requests_total", "end", "Requests that were taken, by how they ended.")
	m.refused = vec("refused_total", "why", "Requests that were refused.")
	m.tokens = vec("tokens_total", "of", "Tokens of prompts and answers that were paid for.")
	m.changed = counter("contradictions_total", "Answers that ended because two workers, or a worker and its receipt, said different things.")
	m.again = counter("repeats_total", "Requests that were given to the workers a second time.")
	m.firstToken = histogram("first_token_seconds", "Time from a request to its first token.", prometheus.ExponentialBuckets(0.01, 2, 14))
	m.answer = histogram("answer_seconds", "Time from a request to the receipt of its answer.", prometheus.ExponentialBuckets(0.05, 2, 14))
	m.prefilled = counter("engine_prompt_tokens_total", "Tokens of prompts that this machine computed answers to.")
	m.generated = counter("engine_output_tokens_total", "Tokens of answers that this machine computed.")
	gauge("queued_requests", "Requests that wait to be given to a worker.", func() float64 { return float64(k.queued.Load()) })
	gauge("out_requests", "Requests that workers have.", func() float64 { return float64(k.out()) })
	use := func(f func(models, active, waiting int, bytes int64) float64) func() float64 {
		return func() float64 {
			if k.pool == nil {
				return 0
			}
			u := k.pool.Use()
			return f(u.Models, u.Active, u.Waiting, u.Bytes)
		}
	}
	gauge("engine_models", "Models that this machine has loaded.", use(func(n, _, _ int, _ int64) float64 { return float64(n) }))
	gauge("engine_active_answers", "Answers that this machine computes now.", use(func(_, n, _ int, _ int64) float64 { return float64(n) }))
	gauge("engine_waiting_answers", "Answers that wait for a place in this machine's passes.", use(func(_, _, n int, _ int64) float64 { return float64(n) }))
	gauge("engine_bytes", "Memory that is set aside for models and their answers.", use(func(_, _, _ int, n int64) float64 { return float64(n) }))
	if reg == nil {
		return m, nil
	}
	for i, c := range m.all {
		if err := reg.Register(c); err != nil {
			for _, done := range m.all[:i] {
				reg.Unregister(done)
			}
			return nil, errors.Join(fmt.Errorf("register the figures of %s", Name), err)
		}
	}
	return m, nil
}

func (m *metrics) close(reg prometheus.Registerer) {
	if reg == nil {
		return
	}
	for _, c := range m.all {
		reg.Unregister(c)
	}
}
