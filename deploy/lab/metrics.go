package lab

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const metricsMax = 1 << 20

// MetricsPage returns all that a running region says of itself to its operator.
func (r *Region) MetricsPage(ctx context.Context) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+r.Metrics+"/metrics", nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("metrics of region %s: %w", r.Name, err)
	}
	defer resp.Body.Close()
	page, err := io.ReadAll(io.LimitReader(resp.Body, metricsMax))
	if err != nil {
		return nil, fmt.Errorf("metrics of region %s: %w", r.Name, err)
	}
	return page, nil
}

// Metric returns one figure of that page; name is without tetrad_.
func (r *Region) Metric(ctx context.Context, name string) (float64, error) {
	page, err := r.MetricsPage(ctx)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(page)) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "tetrad_"+name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("region %s has no metric %s", r.Name, name)
}
