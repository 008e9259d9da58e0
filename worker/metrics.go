package worker

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	registry prometheus.Registerer
	all      []prometheus.Collector

	tasks     *prometheus.CounterVec
	seconds   *prometheus.HistogramVec
	units     prometheus.Counter
	uploaded  prometheus.Counter
	receipts  *prometheus.CounterVec
	audits    *prometheus.CounterVec
	underpaid prometheus.Gauge
	connected prometheus.Gauge
	switches  prometheus.Counter
	sent      *prometheus.CounterVec
	disputes  *prometheus.CounterVec
	disputed  *prometheus.GaugeVec
}

func newMetrics(r prometheus.Registerer, w *Worker) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cantus_worker_" + name, Help: help}, labels)
	}
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: "cantus_worker_" + name, Help: help})
	}
	function := func(name, help string, f func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "cantus_worker_" + name, Help: help}, f)
	}
	m := &metrics{
		registry: r,
		tasks:    counter("tasks_total", "Tasks by kind and outcome.", "kind", "outcome"),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cantus_worker_task_seconds", Help: "Time that tasks took.", Buckets: prometheus.ExponentialBuckets(0.005, 4, 9),
		}, []string{"kind"}),
		units:     prometheus.NewCounter(prometheus.CounterOpts{Name: "cantus_worker_units_total", Help: "Units of accepted receipts."}),
		uploaded:  prometheus.NewCounter(prometheus.CounterOpts{Name: "cantus_worker_uploaded_bytes_total", Help: "Bytes uploaded."}),
		receipts:  counter("receipts_total", "Receipts by outcome.", "outcome"),
		audits:    counter("audits_total", "Audits by kind and outcome.", "kind", "outcome"),
		underpaid: gauge("underpaid", "Gateways that owe vouchers, from which nothing more is leased."),
		connected: gauge("connected", "Gateways that there is a session with."),
		switches:  prometheus.NewCounter(prometheus.CounterOpts{Name: "cantus_worker_gateway_switches_total", Help: "How often the worker went over to another gateway."}),
		sent:      counter("transactions_total", "Transactions that the worker sent to the ledger itself, by message and outcome.", "message", "outcome"),
		disputes:  counter("disputes_total", "Disputes that ended, by the worker's role and how they ended for it.", "role", "outcome"),
		disputed:  prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "cantus_worker_disputes_open", Help: "Open disputes by the worker's role."}, []string{"role"}),
	}
	m.all = []prometheus.Collector{
		m.tasks, m.seconds, m.units, m.uploaded, m.receipts, m.audits, m.underpaid, m.connected, m.switches, m.sent, m.disputes, m.disputed,
		function("memory_bytes", "Bytes of results in memory or reserved for them.", func() float64 { return float64(w.memory.held()) }),
		function("disk_bytes", "Bytes of blobs on disk.", func() float64 { return float64(w.disk.held()) }),
		function("bundles", "Bundles being done.", func() float64 { return float64(w.slots.busy()) }),
		function("receipts_waiting", "Receipts that wait for a voucher.", func() float64 {
			n := 0
			for _, l := range w.allLinks() {
				n += l.durable.waiting()
			}
			return float64(n)
		}),
	}
	w.choice.switched = m.switches.Inc
	if r == nil {
		return m, nil
	}
	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			m.all = m.all[:i]
			m.unregister()
			return nil, fmt.Errorf("register the worker's metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.registry == nil {
		return
	}
	for _, c := range m.all {
		m.registry.Unregister(c)
	}
}
