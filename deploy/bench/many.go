package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

const makers = 64 // keys being made at once

// manyKeys makes threshold keys by real ceremonies, issues one child address of each and
// signs once with that child, so that every region has opened what shares it was drawn
// for. It shows time, processors and memory as the keys become more.
func (b *bench) manyKeys(ctx context.Context, o options) error {
	const steps = 4
	keys := make([]client.KeyID, o.keys)
	for step := range steps {
		from, to := step*o.keys/steps, (step+1)*o.keys/steps
		name := fmt.Sprintf("threshold keys, to %d", to)
		err := b.eachKey(ctx, name+": made", from, to, func(i int) (err error) {
			keys[i], err = b.makeMember(ctx, i)
			return err
		})
		if err != nil {
			return err
		}
		err = b.eachKey(ctx, name+": a child signs", from, to, func(i int) error { return b.childSigns(ctx, keys[i], i) })
		if err != nil {
			return err
		}
		if err := b.memory(ctx, o); err != nil {
			return err
		}
	}
	if err := b.restart(ctx, o); err != nil {
		return err
	}
	return b.memory(ctx, o)
}

// eachKey calls do for keys from to to and prints what it took.
func (b *bench) eachKey(ctx context.Context, name string, from, to int, do func(i int) error) error {
	var next, failed atomic.Int64
	var last atomic.Pointer[error]
	next.Store(int64(from))
	before, all, start := sum(cpu(b.lab))+ownCPU(), processors(), time.Now()
	var group sync.WaitGroup
	for range makers {
		group.Go(func() {
			for i := int(next.Add(1)) - 1; i < to && ctx.Err() == nil && failed.Load() == 0; i = int(next.Add(1)) - 1 {
				if err := do(i); err != nil {
					failed.Add(1)
					last.Store(&err)
				}
			}
		})
	}
	group.Wait()
	if err := last.Load(); err != nil {
		return fmt.Errorf("%s: %w", name, *err)
	}
	took, used := time.Since(start), sum(cpu(b.lab))+ownCPU()-before
	row(name, "%.1f /s   CPU %.1f ms each   others used %.0f%%", float64(to-from)/took.Seconds(),
		ms(used)/float64(to-from), 100*processors().others(all, used))
	return ctx.Err()
}

// makeMember makes key i, alternately on the two curves, and issues one address of it.
func (b *bench) makeMember(ctx context.Context, i int) (id client.KeyID, err error) {
	curve := []command.Curve{command.Ed25519, command.Secp256k1}[i%2]
	cmd, err := b.admin.Command(&command.CreateKey{Name: fmt.Sprintf("member-%d", i), Tenant: tenant, Scheme: command.SchemeThreshold, Curve: curve, Signers: 2})
	if err != nil {
		return id, err
	}
	key, err := b.admin.CreateKey(ctx, cmd)
	if err != nil {
		return id, err
	}
	copy(id[:], key.Id)
	cmd, err = b.service.Command(&command.IssueAddresses{Key: id, Paths: [][]byte{command.EncodePath(childPath)}})
	if err != nil {
		return id, err
	}
	out, err := b.service.Submit(ctx, cmd)
	if err == nil && out.CodeName != "ok" {
		err = errors.New(out.CodeName)
	}
	return id, err
}

var childPath = []uint32{0, 1}

func (b *bench) childSigns(ctx context.Context, key client.KeyID, i int) error {
	hash := []client.Hash{client.HashNone, client.HashSHA256}[i%2]
	message := make([]byte, 100)
	_, _ = rand.Read(message)
	message[0] = 'm' // see worker
	body := client.NewSignMessage(key, hash, message, "")
	body.Path = childPath
	return signOnce(ctx, b.service, body)
}
