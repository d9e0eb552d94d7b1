package sim

import (
	"context"
	"sync"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/node/nodetest"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/vault/draw"
)

// Beacon opens every region's share with its HSM, as nobody in the world may, and returns
// what computes beacon values without asking any node.
func Beacon(t testing.TB, c *nodetest.Cluster) func(command.Meta) ([32]byte, error) {
	t.Helper()
	doc := &c.Genesis.Document
	public, err := draw.NewPublicKey(int(doc.Beacon.Threshold), doc.Beacon.Public, doc.Beacon.Shares)
	if err != nil {
		t.Fatal(err)
	}
	var shares []draw.Share
	for i, s := range c.Sites {
		share, err := shareOf(c, i)
		if err != nil {
			t.Fatalf("beacon share of %s: %v", s.Name, err)
		}
		shares = append(shares, share)
	}
	lineage := doc.Hash()
	var mu sync.Mutex
	known := map[command.Meta][32]byte{}
	return func(m command.Meta) ([32]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		if v, ok := known[m]; ok {
			return v, nil
		}
		input := draw.Input(lineage, m.Term, m.Index, m.Chain)
		var partials []draw.Partial
		for _, s := range shares[:doc.Beacon.Threshold] {
			p, err := s.Evaluate(draw.At(input))
			if err != nil {
				return [32]byte{}, err
			}
			partials = append(partials, p)
		}
		v, err := public.Combine(draw.At(input), partials)
		known[m] = v
		return v, err
	}
}

func shareOf(c *nodetest.Cluster, site int) (draw.Share, error) {
	ctx, doc := context.Background(), &c.Genesis.Document
	installed, err := ceremony.Load(c.Sites[site].Disk)
	if err != nil {
		return draw.Share{}, err
	}
	state, err := seal.DecodeState(installed.Unseal)
	if err != nil {
		return draw.Share{}, err
	}
	hsm, err := c.Sites[site].Device.OpenHSM(ctx)
	if err != nil {
		return draw.Share{}, err
	}
	defer hsm.Close(ctx)
	_, secrets, err := seal.Unseal(ctx, hsm, state, doc.Cluster, doc.RootCheck)
	if err != nil {
		return draw.Share{}, err
	}
	return draw.DecodeShare(secrets[ceremony.SecretBeacon])
}
