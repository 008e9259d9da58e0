package plane

import (
	"context"
	"fmt"
	"log/slog"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	registry prometheus.Registerer
	all      []prometheus.Collector

	logins   *prometheus.CounterVec
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	cut      prometheus.Counter
}

func newMetrics(r prometheus.Registerer, s *Server) (*metrics, error) {
	m := &metrics{
		registry: r,
		logins: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cantus_plane_logins_total", Help: "Logins of workers by outcome.",
		}, []string{"outcome"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "cantus_plane_requests_total", Help: "Requests of workers by method and outcome.",
		}, []string{"method", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "cantus_plane_request_seconds", Help: "Time that the handler took.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 4, 8),
		}, []string{"method"}),
		cut: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "cantus_plane_cut_off_total", Help: "Workers cut off for flooding.",
		}),
	}
	m.all = []prometheus.Collector{m.logins, m.requests, m.seconds, m.cut,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "cantus_plane_workers", Help: "Workers connected now.",
		}, func() float64 { return float64(len(s.Connected())) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "cantus_plane_requests_in_flight", Help: "Requests being handled now.",
		}, func() float64 { return float64(len(s.slots)) }),
	}
	if r == nil {
		return m, nil
	}
	for i, c := range m.all {
		if err := r.Register(c); err != nil {
			m.all = m.all[:i]
			m.unregister()
			return nil, fmt.Errorf("register the plane's metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m == nil || m.registry == nil {
		return
	}
	for _, c := range m.all {
		m.registry.Unregister(c)
	}
}

// String names the code in metrics.
func (c Code) String() string {
	switch c {
	case CodeInvalid:
		return "invalid"
	case CodeBusy:
		return "busy"
	case CodeDenied:
		return "denied"
	case CodeNoSession:
		return "no_session"
	case CodeInternal:
		return "internal"
	}
	return fmt.Sprintf("code %d", uint8(c))
}

// natsLogger passes what NATS logs on to slog.
type natsLogger struct{ log *slog.Logger }

func (l natsLogger) Noticef(f string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(f, v...)) }
func (l natsLogger) Warnf(f string, v ...any) {
	level := slog.LevelWarn
	// It is configured without TLS on loopback only; Config.check sees to that.
	if strings.HasPrefix(f, "Websocket not configured with TLS") {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "nats: "+fmt.Sprintf(f, v...))
}
func (l natsLogger) Errorf(f string, v ...any) { l.log.Info("nats: " + fmt.Sprintf(f, v...)) }
func (l natsLogger) Debugf(f string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(f, v...)) }
func (l natsLogger) Tracef(f string, v ...any) { l.log.Debug("nats: " + fmt.Sprintf(f, v...)) }
func (l natsLogger) Fatalf(f string, v ...any) { l.log.Error("nats: " + fmt.Sprintf(f, v...)) }
