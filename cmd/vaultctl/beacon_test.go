package main

import (
	"context"
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/auditor"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestBeaconAgainstACluster is the life of the beacon key, through vaultctl alone: as dealt at
// the genesis, refreshed, moved to three regions; signatures go on, and the audit verifies
// every draw under the shares of its entry.
func TestBeaconAgainstACluster(t *testing.T) {
	b := newBench(t)
	both, svc := b.path("bob.key"), b.path("svc.key")
	b.ok("tenant", "create", "acme", "--cosign-key", both)
	b.ok("keygen", "--out", svc, "--type", "p256")
	b.ok("principal", "add", "svc", "--tenant", "acme", "--roles", "signer", "--public-key-of", svc, "--cosign-key", both)
	b.ok("key", "create", "hot", "--tenant", "acme", "--curve", "p256")
	sign := func() {
		t.Helper()
		b.ok("sign", "--key", "hot", "--message", b.write("msg", []byte("hello")), "--wait", "--key-file", svc)
	}
	var first, view beaconView
	b.json(&first, "beacon", "status")
	if first.Sharing.Epoch != 0 || len(first.Shares) != 4 || first.Since != 0 {
		t.Fatalf("%+v", first)
	}
	sign()
	b.fails(errs.ExitUsage, "--holders", "beacon", "reshare")
	b.fails(errs.ExitDenied, "", "beacon", "refresh")
	code, out, said := b.run(context.Background(), "beacon", "refresh", "--reason", "drill", "--cosign-key", both)
	if code != 0 || !strings.Contains(said, "epoch 1 is live") || !strings.Contains(out, "epoch 1, 3 of") || !strings.Contains(out, "retiring") {
		t.Fatalf("exit %d\n%s%s", code, out, said)
	}
	t.Log(said + out)
	sign()
	b.fails(errs.ExitFailure, "not gone yet", "beacon", "refresh", "--cosign-key", both)
	b.json(&view, "beacon", "status")
	if view.Key != first.Key || view.Shares[0] == first.Shares[0] || view.Sharing.Epoch != 1 || view.Retiring == nil || view.Since == 0 {
		t.Errorf("%+v", view)
	}
	b.fails(errs.ExitFailure, "", "beacon", "status", "--key-file", svc) // a tenant's principal sees nothing of it
	b.ok("audit", "export", "--out", b.path("a.bin"))
	t.Log(b.ok("audit", "verify", b.path("a.bin")))
	var r auditor.Report
	b.json(&r, "audit", "verify", b.path("a.bin"))
	if r.Completed != 2 || len(r.Beacon) != 2 || r.Beacon[1].Since != view.Since || r.Beacon[1].Public[0] != view.Shares[0].Public {
		t.Errorf("%+v", r.Beacon)
	}
}
