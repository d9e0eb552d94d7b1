package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"strings"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/deploy/lab"
)

// profile takes profiles of CPU and allocations of all regions, and of the client's CPU,
// while a load runs, if asked to. The function it returns waits for them.
func (b *bench) profile(ctx context.Context, load string, d time.Duration) (wait func()) {
	if b.profiles == "" {
		return func() {}
	}
	if err := os.MkdirAll(b.profiles, 0o755); err != nil {
		return func() { fmt.Fprintln(os.Stderr, "bench:", err) }
	}
	load = strings.NewReplacer(", ", "-", " ", "-").Replace(strings.TrimSuffix(load, " at once"))
	leader := b.leader(ctx)
	var group sync.WaitGroup
	for i, r := range b.lab.Regions {
		name := load + "-" + r.Name
		if i == leader {
			name += "-leader"
		}
		for kind, suffix := range map[string]string{"profile": ".pprof", "allocs": "-allocs.pprof"} {
			group.Go(func() {
				if err := fetchProfile(ctx, r, kind, filepath.Join(b.profiles, name+suffix), d-time.Second); err != nil {
					fmt.Fprintln(os.Stderr, "bench:", err)
				}
			})
		}
	}
	done := ownProfile(filepath.Join(b.profiles, load+"-client.pprof"))
	return func() {
		done()
		group.Wait()
	}
}

func ownProfile(path string) (done func()) {
	f, err := os.Create(path)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	return func() {
		if err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			return
		}
		pprof.StopCPUProfile()
		if err := f.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
}

func fetchProfile(ctx context.Context, r *lab.Region, kind, path string, d time.Duration) error {
	return fetch(ctx, r, path, fmt.Sprintf("%s?seconds=%d", kind, max(1, int(d.Seconds()))))
}

// heaps takes a profile of each region's heap, and what the runtime says of it, if asked to.
func (b *bench) heaps(ctx context.Context) error {
	if b.profiles == "" {
		return nil
	}
	if err := os.MkdirAll(b.profiles, 0o755); err != nil {
		return err
	}
	b.heapsTaken++
	for _, r := range b.lab.Regions {
		path := filepath.Join(b.profiles, fmt.Sprintf("heap-%d-%s", b.heapsTaken, r.Name))
		err := errors.Join(fetch(ctx, r, path+".txt", "heap?debug=1"), fetch(ctx, r, path+".pprof", "heap"))
		if err != nil {
			return err
		}
	}
	return nil
}

func fetch(ctx context.Context, r *lab.Region, path, profile string) error {
	url := fmt.Sprintf("http://%s/debug/pprof/%s", r.Metrics, profile)
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
