package node_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/node/nodetest"
)

// export fetches the whole audit log as an auditor gets it.
func export(ctx context.Context, cl *client.Client) ([]byte, error) {
	genesis, err := cl.Genesis(ctx)
	if err != nil {
		return nil, err
	}
	cp, err := cl.AuditCheckpoint(ctx)
	if err != nil {
		return nil, err
	}
	signed, err := audit.DecodeCheckpoint(cp.Signed)
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := auditor.NewWriter(&out, genesis)
	if err != nil {
		return nil, err
	}
	for raw, err := range cl.AuditLeaves(ctx, 0, cp.Size) {
		if err != nil {
			return nil, err
		}
		l, err := audit.DecodeLeaf(raw.Bytes)
		if err == nil {
			err = w.Leaf(l)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := w.Close(signed); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// What four real nodes did verifies offline, and no byte of it can be changed.
func TestAuditOfRealNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
		defer cancel()
		c := nodetest.New(t)
		defer c.Close()
		c.StartAll(ctx)
		d := openDesk(t, ctx, c, command.Secp256k1)
		defer d.Close()
		for i := range 5 {
			if _, err := d.sign(ctx, fmt.Sprint("before ", i)); err != nil {
				t.Fatal(err)
			}
		}
		c.Kill(3)
		for i := range 5 {
			if _, err := d.sign(ctx, fmt.Sprint("with three ", i)); err != nil {
				t.Fatal(err)
			}
		}
		if err := c.Start(3); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second) // completions are committed, the region is back
		admin := c.Client(c.Lab.Admins[0])
		defer admin.Close()
		x, err := export(ctx, admin)
		if err != nil {
			t.Fatal(err)
		}
		trust := auditor.TrustAnchor{Genesis: c.Genesis.Document.Hash(), Signatures: 3}
		r, err := auditor.Verify(bytes.NewReader(x), trust)
		if err != nil {
			t.Fatalf("%v\n%v", err, r)
		}
		if r.Completed != 10 || r.Open != 0 || r.Released < 20 || r.Replayed != r.Leaves {
			t.Errorf("%+v", r)
		}
		x[len(x)/2] ^= 1
		if _, err := auditor.Verify(bytes.NewReader(x), trust); err == nil {
			t.Error("a changed export verified")
		}
	})
}
