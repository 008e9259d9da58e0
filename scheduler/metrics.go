package scheduler

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what an operator watches.
type metrics struct {
	reg prometheus.Registerer
	all []prometheus.Collector

	leased, expired, accepted, failures, failed, sealed, orders, troubles, planted, mismatches, shed prometheus.Counter
	refused, sent                                                                                    *prometheus.CounterVec
	jobs                                                                                             *prometheus.GaugeVec
	out, ready, workers, idle, height, diskFull, probation, low                                      prometheus.Gauge
	doneSeconds                                                                                      prometheus.Histogram
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{reg: reg}
	const space, sub = "cantus", "scheduler"
	counter := func(name, help string) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Namespace: space, Subsystem: sub, Name: name, Help: help})
		m.all = append(m.all, c)
		return c
	}
	gauge := func(name, help string) prometheus.Gauge {
		g := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: space, Subsystem: sub, Name: name, Help: help})
		m.all = append(m.all, g)
		return g
	}
	m.leased = counter("leased_tasks_total", "Tasks that were leased to workers.")
	m.expired = counter("expired_tasks_total", "Leased tasks that were taken back.")
	m.accepted = counter("accepted_receipts_total", "Receipts that were accepted.")
	m.failures = counter("failures_total", "Tasks that a worker gave back or reported wrongly.")
	m.failed = counter("failed_tasks_total", "Tasks that were given up.")
	m.sealed = counter("sealed_epochs_total", "Epochs that were sealed.")
	m.orders = counter("audit_orders_total", "Audits and reveals that were handed to auditors.")
	m.troubles = counter("troubles_total", "Steps that failed and were tried again.")
	m.planted = counter("plants_total", "Receipts known to be wrong that were planted.")
	m.mismatches = counter("network_mismatches_total", "Sessions of workers that do not come from their declared network.")
	m.shed = counter("shed_reports_total", "Reports that were put off because there were too many to check.")
	m.refused = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: space, Subsystem: sub, Name: "refused_total", Help: "Receipts and verdicts that were refused."}, []string{"why"})
	m.sent = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: space, Subsystem: sub, Name: "sent_total", Help: "Transactions that were sent to the ledger."}, []string{"what", "result"})
	m.jobs = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: space, Subsystem: sub, Name: "jobs", Help: "Jobs by phase."}, []string{"phase"})
	m.out = gauge("out_tasks", "Tasks in workers' hands.")
	m.ready = gauge("ready_bundles", "Bundles that wait for a worker.")
	m.workers = gauge("workers", "Workers with a session.")
	m.idle = gauge("idle_workers", "Workers that wait for work.")
	m.height = gauge("ledger_height", "The newest block that was seen.")
	m.probation = gauge("probation_workers", "Workers with a session that are on probation by the ledger's record.")
	m.low = gauge("low_score_workers", "Workers with a session whose score is below one half.")
	m.diskFull = gauge("disk_full", "1 while no work is taken on because the disk is nearly full.")
	m.doneSeconds = prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: space, Subsystem: sub, Name: "done_seconds", Help: "Time to check and store a worker's report.", Buckets: prometheus.ExponentialBuckets(0.001, 2, 14)})
	m.all = append(m.all, m.refused, m.sent, m.jobs, m.doneSeconds)
	for i, c := range m.all {
		if err := reg.Register(c); err != nil {
			for _, r := range m.all[:i] {
				reg.Unregister(r)
			}
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	for _, c := range m.all {
		m.reg.Unregister(c)
	}
}

// measure sets the gauges.
func (s *Scheduler) measure() {
	phases := map[Phase]int{PhaseWaiting: 0, PhaseRunning: 0, PhaseDraining: 0, PhaseSettling: 0, PhaseDone: 0, PhaseRefused: 0, PhaseFaulted: 0}
	out, ready := 0, 0
	for _, j := range s.all() {
		j.mu.Lock()
		phases[j.rec.Phase]++
		out += j.out
		ready += len(j.ready)
		j.mu.Unlock()
	}
	for p, n := range phases {
		s.m.jobs.WithLabelValues(string(p)).Set(float64(n))
	}
	s.m.out.Set(float64(out))
	s.m.ready.Set(float64(ready))
	s.mu.Lock()
	workers, idle := len(s.workers), len(s.idle)
	s.mu.Unlock()
	s.m.workers.Set(float64(workers))
	s.m.idle.Set(float64(idle))
	c := s.census(s.now())
	s.m.probation.Set(float64(c.probation))
	s.m.low.Set(float64(c.low))
	full := 0.0
	if s.store.full.Load() {
		full = 1
	}
	s.m.diskFull.Set(full)
}
