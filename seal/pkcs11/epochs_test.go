package pkcs11_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/seal"
)

// TestEpochsInSoftHSM makes wrapping keys of epochs in a token, opens boxes with them from
// another process's point of view, and destroys one.
func TestEpochsInSoftHSM(t *testing.T) {
	ctx, cluster := t.Context(), identity.ClusterID{4, 5, 6}
	h := open(t, "epochs")
	if _, err := h.GenerateIdentity(ctx, seal.IdentityLabel(cluster)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.GenerateWrapping(ctx, seal.WrappingLabel(cluster)); err != nil {
		t.Fatal(err)
	}
	var public, sealed [3][]byte
	for epoch := uint32(1); epoch <= 2; epoch++ {
		start := time.Now()
		pub, s, attrs, err := h.Epochs(cluster).CreateWrap(ctx, epoch)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("epoch %d made in %v, wrapped seed of %d bytes", epoch, time.Since(start), len(s))
		if err := seal.AttributesOK(attrs, h.Profile()); err != nil {
			t.Error(err)
		}
		public[epoch], sealed[epoch] = pub, s
	}
	fresh := open(t, "epochs") // as after a restart
	if err := fresh.Use(ctx, seal.IdentityLabel(cluster), seal.WrappingLabel(cluster), uint8(seal.SHA1)); err != nil {
		t.Fatal(err)
	}
	e := fresh.Epochs(cluster)
	b, err := box.Seal(public[1], []byte("place"), []byte("share"))
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	key, err := e.OpenWrap(ctx, 1, sealed[1])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("opened in %v", time.Since(start))
	if got, err := key.Open(b, []byte("place")); err != nil || string(got) != "share" {
		t.Errorf("box opens as %q: %v", got, err)
	}
	for what, s := range map[string][]byte{"another epoch's": sealed[2], "altered": append(bytes.Clone(sealed[1][:40]), append([]byte{sealed[1][40] ^ 1}, sealed[1][41:]...)...)} {
		if _, err := e.OpenWrap(ctx, 1, s); errs.CodeOf(err) != errs.Corrupt {
			t.Errorf("%s: %v, want Corrupt", what, err)
		}
	}
	for range 2 {
		if err := e.DropWrap(ctx, 1); err != nil {
			t.Fatal(err)
		}
	}
	for name, x := range map[string]*seal.HSM{"the one that destroyed": fresh, "another process": h} {
		if _, err := x.Epochs(cluster).OpenWrap(ctx, 1, sealed[1]); errs.CodeOf(err) != errs.NotFound {
			t.Errorf("%s: %v, want NotFound", name, err)
		}
		if k, err := x.Epochs(cluster).OpenWrap(ctx, 2, sealed[2]); err != nil || !bytes.Equal(k.Public(), public[2]) {
			t.Errorf("%s: epoch 2: %v", name, err)
		}
	}
	if err := h.Destroy(ctx, seal.WrappingLabel(cluster)); errs.CodeOf(err) != errs.Denied {
		t.Errorf("destroying the wrapping key: %v, want Denied", err)
	}
	other := open(t, "north")
	if _, err := other.Epochs(cluster).OpenWrap(ctx, 2, sealed[2]); errs.CodeOf(err) != errs.NotFound {
		t.Errorf("another region's token: %v, want NotFound", err)
	}
}
