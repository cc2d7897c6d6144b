package admin

import (
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Certificates shows when certificates end: ends gives that by what they are of, parts of
// the configuration, and is asked each time.
func (m *Metrics) Certificates(ends func() map[string]time.Time) { m.shown.use(ends) }

// certificateCollector shows what is known at the moment it is asked.
type certificateCollector struct {
	mu   sync.Mutex
	ends func() map[string]time.Time
}

func (c *certificateCollector) use(ends func() map[string]time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ends = ends
}

func certificateDesc() *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_certificate_expiry_timestamp_seconds",
		"When the certificate ends of a listener, or of a server that this process connects to.", []string{"of"}, nil)
}

// Describe implements prometheus.Collector.
func (c *certificateCollector) Describe(out chan<- *prometheus.Desc) { out <- certificateDesc() }

// Collect implements prometheus.Collector.
func (c *certificateCollector) Collect(out chan<- prometheus.Metric) {
	c.mu.Lock()
	ends := c.ends
	c.mu.Unlock()
	if ends == nil {
		return
	}
	list := ends()
	for _, of := range slices.Sorted(maps.Keys(list)) {
		out <- prometheus.MustNewConstMetric(certificateDesc(), prometheus.GaugeValue, float64(list[of].Unix()), of)
	}
}
