package desk

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	open     prometheus.Gauge
	asked    prometheus.Counter
	trouble  prometheus.Counter
	ended    *prometheus.CounterVec
	evidence prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		open:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "cantus_desk_requests_open", Help: "Contracts' requests that are not over."}),
		asked:   prometheus.NewCounter(prometheus.CounterOpts{Name: "cantus_desk_asked_total", Help: "Answers that workers were asked for."}),
		trouble: prometheus.NewCounter(prometheus.CounterOpts{Name: "cantus_desk_troubles_total", Help: "Steps of requests that failed and are tried again."}),
		ended:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "cantus_desk_transactions_total", Help: "Answers brought to the ledger, and requests concluded."}, []string{"what"}),
		evidence: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "cantus_desk_evidence_bytes", Help: "Size of what answers were delivered with.", Buckets: prometheus.ExponentialBuckets(1<<10, 2, 9),
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.open, m.asked, m.trouble, m.ended, m.evidence} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("register the desk's metrics: %w", err)
		}
	}
	return m, nil
}
