package nodetest

import (
	"context"

	"github.com/tetrad-vault/tetrad/cluster/clustertest"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/node"
	"github.com/tetrad-vault/tetrad/internal/roll"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
)

// Lose takes from a site whose node is down its founding HSM, disk and log for good: it has new
// ones, empty. False: it has already.
func (c *Cluster) Lose(i int) bool {
	s := c.Sites[i]
	if s.Device != c.Lab.Sites[i].Device {
		return false
	}
	s.Device, s.Disk, s.Raft = sealtest.New(sealtest.Options{Seed: uint64(100 + i)}), durabletest.New(), clustertest.NewStore()
	return true
}

// Reenrol makes the keys of a site in the HSM it has now, and returns what two administrators
// are to submit.
func (c *Cluster) Reenrol(ctx context.Context, i int) (body *command.Reenrol, err error) {
	err = c.atSite(ctx, i, func(site *ceremony.Site) error {
		e, err := site.Reenrol(ctx, &c.Genesis.Document)
		if err == nil {
			body = &e.Reenrol
		}
		return err
	})
	return body, err
}

// Arrive installs a re-enrolled site by what living regions say of the vault (client.Rolls).
func (c *Cluster) Arrive(ctx context.Context, i int, rolls [][]byte) error {
	var welcomes []*ceremony.Welcome
	for _, raw := range rolls {
		o, err := roll.Decode(raw)
		if err != nil {
			return err
		}
		welcomes = append(welcomes, &ceremony.Welcome{Roll: o})
	}
	heard, err := ceremony.Hear(&c.Genesis.Document, welcomes, nil)
	if err != nil {
		return err
	}
	err = c.atSite(ctx, i, func(site *ceremony.Site) error {
		_, err := site.Arrive(ctx, &ceremony.Arrival{Genesis: c.Genesis, Heard: heard})
		return err
	})
	if err != nil {
		return err
	}
	return node.Enrol(c.Sites[i].Disk)
}

func (c *Cluster) atSite(ctx context.Context, i int, do func(*ceremony.Site) error) (err error) {
	s, plan := c.Sites[i], ceremony.PlanOf(&c.Genesis.Document)
	var hsm *seal.HSM
	if hsm, err = s.Device.OpenHSM(ctx); err != nil {
		return err
	}
	defer func() {
		if e := hsm.Close(ctx); err == nil {
			err = e
		}
	}()
	return do(&ceremony.Site{Plan: plan, Region: plan.Regions[i], HSM: hsm, FS: s.Disk})
}
