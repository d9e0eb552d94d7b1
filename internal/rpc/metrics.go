package rpc

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// metrics of one server. Labels are method and code names: never a caller's words.
type metrics struct {
	calls    *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	refused  *prometheus.CounterVec
	forwards *prometheus.CounterVec
	follower prometheus.Gauge
	conns    prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tetrad_rpc_calls_total", Help: "Calls answered, by method and code."}, []string{"method", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tetrad_rpc_seconds", Help: "Time to answer unary calls.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16)}, []string{"method"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tetrad_rpc_refused_total", Help: "Connections and calls refused before authentication, by reason."}, []string{"reason"}),
		forwards: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tetrad_rpc_forwarded_total", Help: "Calls forwarded to the leader, by code."}, []string{"code"}),
		follower: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tetrad_rpc_followers", Help: "Streams that follow requests or audit."}),
		conns: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tetrad_rpc_connections", Help: "Open connections."}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.calls, m.seconds, m.refused, m.forwards, m.follower, m.conns} {
		if err := reg.Register(c); err != nil {
			return nil, errs.Wrap(errs.Internal, err, "registering rpc metrics")
		}
	}
	return m, nil
}

func (m *metrics) answered(method string, err error, since time.Time, unary bool) {
	m.calls.WithLabelValues(method, errs.CodeOf(err).String()).Inc()
	if unary {
		m.seconds.WithLabelValues(method).Observe(time.Since(since).Seconds())
	}
}
