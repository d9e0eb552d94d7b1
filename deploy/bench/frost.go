package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
)

// frost makes keys that exist nowhere and signs with them: one signature made by two
// regions of four.
func (b *bench) frost(ctx context.Context, o options) error {
	names := []string{"FROST Ed25519", "FROST BIP-340"}
	for _, name := range names {
		if err := b.ceremonies(ctx, name); err != nil {
			return err
		}
	}
	for _, name := range names {
		for _, workers := range []int{1, many} {
			if err := b.frostLoad(ctx, name, workers, o.duration); err != nil {
				return err
			}
		}
	}
	return nil
}

const ceremonies = 5 // timed ones a curve

// ceremonies times keys made one after the other, from asking until each is live.
func (b *bench) ceremonies(ctx context.Context, name string) error {
	var took []time.Duration
	for range ceremonies {
		begin := time.Now()
		if _, err := makeKey(ctx, b.admin, fmt.Sprintf("timed-%s-%d", shared[name], begin.UnixNano()), command.SchemeThreshold, shared[name]); err != nil {
			return err
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	row("key by ceremony, "+name, "median %.0f ms, longest %.0f ms of %d", ms(took[len(took)/2]), ms(took[len(took)-1]), len(took))
	return nil
}

// frostLoad is a load that also tells how often requests, those of its warm-up too, found
// too few regions with nonces left: they wait then, and are sent again by the region itself.
func (b *bench) frostLoad(ctx context.Context, name string, workers int, d time.Duration) error {
	before, err := b.turnedAway(ctx)
	if err != nil {
		return err
	}
	if _, err := b.load(ctx, name, workers, d); err != nil {
		return err
	}
	after, err := b.turnedAway(ctx)
	if err != nil {
		return err
	}
	row("  found the pools dry:", "%7d", most(before, after))
	return nil
}

// most is what the region that counted most has counted: each counts what all were asked,
// and one may lag.
func most(before, after []uint64) (n uint64) {
	for i := range before {
		n = max(n, after[i]-before[i])
	}
	return n
}

func (b *bench) turnedAway(ctx context.Context) (out []uint64, err error) {
	for _, r := range b.lab.Regions {
		n, err := r.Metric(ctx, "turned_away")
		if err != nil {
			return nil, err
		}
		out = append(out, uint64(n))
	}
	return out, nil
}
