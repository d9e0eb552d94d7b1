package seal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
)

// site is a region with its device and unseal file.
type site struct {
	dev   *sealtest.Device
	state *seal.State
	check [32]byte
}

var cluster = identity.ClusterID{1, 2, 3}

func found(t *testing.T, seed uint64, region identity.RegionID, root seal.Root) *site {
	t.Helper()
	dev := sealtest.New(sealtest.Options{Seed: seed})
	h := openHSM(t, dev)
	id, wrap := seal.IdentityLabel(cluster), seal.WrappingLabel(cluster)
	if _, err := h.GenerateIdentity(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if _, err := h.GenerateWrapping(t.Context(), wrap); err != nil {
		t.Fatal(err)
	}
	pub, hash := h.Wrapping()
	s, err := seal.InitState(seal.State{Cluster: cluster, Region: region, IdentityLabel: id, WrappingLabel: wrap, Hash: hash}, pub,
		seal.Contents{Roots: map[uint32]seal.Root{1: root}, Secrets: seal.Secrets{"beacon": []byte("CANARY-SHARE")}})
	if err != nil {
		t.Fatal(err)
	}
	return &site{dev, s, seal.RootCheck(cluster, root)}
}

func openHSM(t *testing.T, dev *sealtest.Device) *seal.HSM {
	t.Helper()
	h, err := dev.OpenHSM(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close(t.Context()) })
	return h
}

func TestUnseal(t *testing.T) {
	a, b := found(t, 1, 1, seal.Root{5}), found(t, 2, 2, seal.Root{5})
	s, err := seal.DecodeState(a.state.Encode())
	if err != nil {
		t.Fatal(err)
	}
	ring, secrets, err := seal.Unseal(t.Context(), openHSM(t, a.dev), s, cluster, a.check)
	if err != nil {
		t.Fatal(err)
	}
	if string(secrets["beacon"]) != "CANARY-SHARE" || ring.Current() != 1 {
		t.Error("unsealed something else")
	}
	other, _, err := seal.Unseal(t.Context(), openHSM(t, b.dev), b.state, cluster, b.check)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := ring.Sealer(seal.PurposeEntry, 1, identity.Boot{1}).Seal([]byte("entry"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := other.Sealer(seal.PurposeEntry, 2, identity.Boot{2}).Open(blob, nil); err != nil || string(got) != "entry" {
		t.Errorf("another region reads %q, %v", got, err)
	}
	if string(ring.Derive("gossip")) != string(other.Derive("gossip")) || string(ring.Derive("gossip")) == string(ring.Derive("other")) {
		t.Error("derived secrets are not shared, or not separate")
	}
	if strings.Contains(string(a.state.Encode()), "CANARY") {
		t.Error("a secret shows in the unseal file")
	}
}

func TestUnsealRefuses(t *testing.T) {
	a, b := found(t, 1, 1, seal.Root{5}), found(t, 2, 2, seal.Root{5})
	evil := found(t, 1, 1, seal.Root{6}) // same labels and key, another root: anyone can wrap
	for name, tc := range map[string]struct {
		dev     *sealtest.Device
		state   *seal.State
		cluster identity.ClusterID
		want    errs.Code
	}{
		"other cluster":         {a.dev, a.state, identity.ClusterID{9}, errs.Corrupt},
		"other region's HSM":    {b.dev, a.state, cluster, errs.Corrupt}, // same labels, other key
		"empty HSM":             {sealtest.New(sealtest.Options{}), a.state, cluster, errs.NotFound},
		"root not of genesis":   {a.dev, evil.state, cluster, errs.Corrupt},
		"wrapped is no wrapped": {a.dev, &seal.State{Cluster: cluster, Region: 1, IdentityLabel: a.state.IdentityLabel, WrappingLabel: a.state.WrappingLabel, Hash: 1, Wrapped: []byte("x")}, cluster, errs.Corrupt},
	} {
		_, _, err := seal.Unseal(t.Context(), openHSM(t, tc.dev), tc.state, tc.cluster, a.check)
		if errs.CodeOf(err) != tc.want {
			t.Errorf("%s: %v (%v), want %v", name, err, errs.CodeOf(err), tc.want)
		}
		if strings.Contains(fmt.Sprint(err), "CANARY") {
			t.Errorf("%s: the error shows a secret", name)
		}
	}
}

// TestUnsealFileCanBeMadeAgain: adding a root key needs what OpenState returns.
func TestUnsealFileCanBeMadeAgain(t *testing.T) {
	a := found(t, 1, 1, seal.Root{5})
	h := openHSM(t, a.dev)
	ring, _, err := seal.Unseal(t.Context(), h, a.state, cluster, a.check)
	if err != nil {
		t.Fatal(err)
	}
	blob, err := ring.Sealer(seal.PurposeLocal, 1, identity.Boot{1}).Seal([]byte("local"), nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := seal.OpenState(t.Context(), h, a.state, cluster, a.check)
	if err != nil {
		t.Fatal(err)
	}
	c.Roots[2] = seal.Root{8}
	pub, _ := h.Wrapping()
	next, err := seal.InitState(*a.state, pub, c)
	if err != nil {
		t.Fatal(err)
	}
	ring, _, err = seal.Unseal(t.Context(), h, next, cluster, a.check)
	if err != nil || ring.Current() != 2 {
		t.Fatalf("current root key %d, %v", ring.Current(), err)
	}
	if got, err := ring.Sealer(seal.PurposeLocal, 1, identity.Boot{2}).Open(blob, nil); err != nil || string(got) != "local" {
		t.Errorf("the region's own files are lost: %v", err)
	}
}
