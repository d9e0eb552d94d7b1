package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/deploy/lab"
)

// profile takes CPU profiles of all regions while a load runs, if asked to. The function
// it returns waits for them.
func (b *bench) profile(ctx context.Context, o options, load string) (wait func()) {
	if o.profile == "" {
		return func() {}
	}
	if err := os.MkdirAll(o.profile, 0o755); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		return func() {}
	}
	leader := uint32(0)
	if status, err := b.service.Status(ctx); err == nil {
		leader = status.Leader
	}
	var group sync.WaitGroup
	for i, r := range b.lab.Regions {
		name := load + "-" + r.Name
		if uint32(i+1) == leader {
			name += "-leader"
		}
		group.Go(func() {
			if err := fetchProfile(ctx, r, filepath.Join(o.profile, name+".pprof"), o.duration-time.Second); err != nil {
				fmt.Fprintln(os.Stderr, "bench:", err)
			}
		})
	}
	return group.Wait
}

func fetchProfile(ctx context.Context, r *lab.Region, path string, d time.Duration) error {
	url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", r.Metrics, max(1, int(d.Seconds())))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("profile of %s: %w", r.Name, err)
	}
	defer resp.Body.Close()
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(f, resp.Body)
	return err
}
