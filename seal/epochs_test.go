package seal_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
)

var epochCluster = identity.ClusterID{0xab, 1}

// inEpochs runs f with an HSM whose wrapping key is in use.
func inEpochs(t *testing.T, f func(t *testing.T, dev *sealtest.Device, h *seal.HSM, e *seal.Epochs)) {
	inBubble(t, sealtest.Options{Seed: 5}, func(t *testing.T, dev *sealtest.Device, h *seal.HSM) {
		if _, err := h.GenerateWrapping(t.Context(), "wrapping"); err != nil {
			t.Fatal(err)
		}
		f(t, dev, h, h.Epochs(epochCluster))
	})
}

func create(t *testing.T, e *seal.Epochs, epoch uint32) (public, sealed []byte) {
	t.Helper()
	public, sealed, attrs, err := e.CreateWrap(t.Context(), epoch)
	if err != nil {
		t.Fatal(err)
	}
	if err := seal.AttributesOK(attrs, seal.Profile{}); err != nil {
		t.Error(err)
	}
	if len(public) != box.PublicSize || len(sealed) > 2048 {
		t.Fatalf("public key of %d bytes, wrapped seed of %d", len(public), len(sealed))
	}
	return public, sealed
}

func TestEpochs(t *testing.T) {
	inEpochs(t, func(t *testing.T, dev *sealtest.Device, h *seal.HSM, e *seal.Epochs) {
		public, sealed := create(t, e, 1)
		key, err := e.OpenWrap(t.Context(), 1, sealed)
		if err != nil || !bytes.Equal(key.Public(), public) {
			t.Fatalf("opened another key: %v", err)
		}
		b, err := box.Seal(public, []byte("place"), []byte("share"))
		if err != nil {
			t.Fatal(err)
		}
		if got, err := key.Open(b, []byte("place")); err != nil || string(got) != "share" {
			t.Fatalf("box opens as %q: %v", got, err)
		}

		// Again, as after a crash before the offer was committed: one key in the HSM, both pairs open.
		public2, sealed2 := create(t, e, 1)
		if bytes.Equal(public2, public) || dev.Count(sealtest.OpGenerate) != 5 { // identity with its probe, k, wrapping, epoch
			t.Errorf("%d keys generated; the pair is the same: %v", dev.Count(sealtest.OpGenerate), bytes.Equal(public2, public))
		}
		for _, s := range [][]byte{sealed, sealed2} {
			if _, err := e.OpenWrap(t.Context(), 1, s); err != nil {
				t.Error(err)
			}
		}
		before := dev.Count(sealtest.OpDecrypt)
		if _, err := e.OpenWrap(t.Context(), 1, sealed); err != nil || dev.Count(sealtest.OpDecrypt) != before+1 {
			t.Errorf("opening took %d HSM calls: %v", dev.Count(sealtest.OpDecrypt)-before, err)
		}

		_, other := create(t, e, 2)
		refuse := func(what string, epoch uint32, sealed []byte, code errs.Code) {
			t.Helper()
			if k, err := e.OpenWrap(t.Context(), epoch, sealed); errs.CodeOf(err) != code || k != nil || errs.HintOf(err) == "" {
				t.Errorf("%s: %v (hint %q), want %v", what, err, errs.HintOf(err), code)
			}
		}
		refuse("epoch 2's seed as epoch 1's", 1, other, errs.Corrupt)
		refuse("epoch 1's seed as epoch 2's", 2, sealed, errs.Corrupt)
		refuse("an epoch never made", 3, sealed, errs.NotFound)
		for i := 0; i < len(sealed); i += 7 {
			bad := bytes.Clone(sealed)
			bad[i] ^= 1
			refuse("altered", 1, bad, errs.Corrupt)
		}
		if k, err := h.Epochs(identity.ClusterID{9}).OpenWrap(t.Context(), 1, sealed); errs.CodeOf(err) != errs.NotFound || k != nil {
			t.Errorf("another cluster's: %v", err)
		}
	})
}

func TestDropEpoch(t *testing.T) {
	inEpochs(t, func(t *testing.T, dev *sealtest.Device, h *seal.HSM, e *seal.Epochs) {
		_, first := create(t, e, 1)
		_, second := create(t, e, 2)
		for range 2 { // again is fine
			if err := e.DropWrap(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
		}
		if slices.Contains(dev.Labels(), seal.EpochLabel(epochCluster, 1)) {
			t.Fatal("a half is still in the device")
		}
		if _, err := e.OpenWrap(t.Context(), 1, first); errs.CodeOf(err) != errs.NotFound {
			t.Errorf("opening what was destroyed: %v", err)
		}
		if _, err := e.OpenWrap(t.Context(), 2, second); err != nil {
			t.Errorf("the other epoch: %v", err)
		}
		if err := e.DropWrap(t.Context(), 9); err != nil {
			t.Errorf("an epoch never made: %v", err)
		}
		for _, label := range []string{"identity", "wrapping"} {
			wantCode(t, h.Destroy(t.Context(), label), errs.Denied)
		}
		if err := sign(t.Context(), h); err != nil {
			t.Error(err)
		}
	})
}

// Whatever call fails meanwhile, nil means that the key is gone.
func TestDestroyUnderFaults(t *testing.T) {
	for _, op := range []sealtest.Op{sealtest.OpFind, sealtest.OpDestroy, sealtest.OpSession, sealtest.OpSign} {
		for n := range 6 {
			inEpochs(t, func(t *testing.T, dev *sealtest.Device, h *seal.HSM, e *seal.Epochs) {
				create(t, e, 1)
				dev.FailNext(op, n)
				err := e.DropWrap(t.Context(), 1)
				dev.Fail(nil)
				if there := slices.Contains(dev.Labels(), seal.EpochLabel(epochCluster, 1)); err == nil && there {
					t.Errorf("%s failed %d times: nil, and the key is there", op, n)
				}
				time.Sleep(2 * time.Second) // the pool restarts a token at most once a second
				if err := e.DropWrap(t.Context(), 1); err != nil || slices.Contains(dev.Labels(), seal.EpochLabel(epochCluster, 1)) {
					t.Errorf("%s failed %d times: dropping again: %v", op, n, err)
				}
			})
		}
	}
}

// Between the halves the private one is gone first, and the next call takes the rest.
func TestDestroyDiesInBetween(t *testing.T) {
	inEpochs(t, func(t *testing.T, dev *sealtest.Device, h *seal.HSM, e *seal.Epochs) {
		_, sealed := create(t, e, 1)
		calls := 0
		dev.Fail(func(op sealtest.Op) error {
			if op == sealtest.OpDestroy {
				if calls++; calls > 1 {
					return &seal.TokenError{Fault: seal.FaultCall, Op: "destroy", Err: errors.New("interrupted")}
				}
			}
			return nil
		})
		wantCode(t, e.DropWrap(t.Context(), 1), errs.HSMFailed)
		dev.Fail(nil)
		if _, err := e.OpenWrap(t.Context(), 1, sealed); errs.CodeOf(err) != errs.NotFound {
			t.Errorf("half destroyed: %v", err)
		}
		if err := e.DropWrap(t.Context(), 1); err != nil || slices.Contains(dev.Labels(), seal.EpochLabel(epochCluster, 1)) {
			t.Errorf("dropping the rest: %v", err)
		}
	})
}

// liar is a token that finds nothing, as one whose store was moved away, or that obeys and
// keeps the key.
type liar struct {
	seal.Token
	deaf, keeps bool
}

type liarSession struct {
	seal.Session
	of *liar
}

func (l *liar) Session() (seal.Session, error) {
	s, err := l.Token.Session()
	return liarSession{s, l}, err
}

func (s liarSession) Find(label string, private bool) ([]seal.Object, error) {
	if s.of.deaf {
		return nil, nil
	}
	return s.Session.Find(label, private)
}

func (s liarSession) Destroy(o seal.Object) error {
	if s.of.keeps {
		return nil
	}
	return s.Session.Destroy(o)
}

func TestDestroyBelievesNobody(t *testing.T) {
	for name, lie := range map[string]func(*liar){
		"a token that finds nothing": func(l *liar) { l.deaf = true },
		"a token that keeps keys":    func(l *liar) { l.keeps = true },
	} {
		inEpochs(t, func(t *testing.T, dev *sealtest.Device, _ *seal.HSM, e *seal.Epochs) {
			create(t, e, 1)
			tok := &liar{Token: dev.Token()}
			h, err := seal.Open(t.Context(), seal.Config{Token: tok, PIN: dev.PIN()})
			if err != nil {
				t.Fatal(err)
			}
			defer h.Close(context.Background())
			wantCode(t, h.Destroy(t.Context(), "x"), errs.BadState) // no identity key in use
			if err := h.Use(t.Context(), "identity", "wrapping", uint8(seal.SHA1)); err != nil {
				t.Fatal(err)
			}
			lie(tok)
			if err := h.Epochs(epochCluster).DropWrap(t.Context(), 1); errs.CodeOf(err) != errs.HSMFailed {
				t.Errorf("%s: %v, want HSMFailed", name, err)
			}
			if !slices.Contains(dev.Labels(), seal.EpochLabel(epochCluster, 1)) {
				t.Errorf("%s: the test destroyed the key", name)
			}
		})
	}
}

func TestEpochNeedsTheHSMsOwnKeys(t *testing.T) {
	inBubble(t, sealtest.Options{}, func(t *testing.T, _ *sealtest.Device, h *seal.HSM) {
		e := h.Epochs(epochCluster)
		if _, _, _, err := e.CreateWrap(t.Context(), 1); errs.CodeOf(err) != errs.BadState {
			t.Errorf("no wrapping key in use: %v", err)
		}
	})
	inEpochs(t, func(t *testing.T, dev *sealtest.Device, _ *seal.HSM, e *seal.Epochs) {
		if _, _, _, err := e.CreateWrap(t.Context(), 0); errs.CodeOf(err) != errs.BadState {
			t.Errorf("epoch 0: %v", err)
		}
		dev.Lie(func(a *seal.Attributes) { a.Extractable = seal.Yes })
		if _, _, _, err := e.CreateWrap(t.Context(), 1); errs.CodeOf(err) != errs.Denied {
			t.Errorf("an extractable key: %v", err)
		}
	})
}

func TestDestroyTakesTheLadder(t *testing.T) {
	inEpochs(t, func(t *testing.T, dev *sealtest.Device, _ *seal.HSM, e *seal.Epochs) {
		create(t, e, 1)
		dev.Vanish()
		if err := e.DropWrap(t.Context(), 1); err == nil {
			t.Error("a token that is not there destroyed a key")
		}
		dev.Return()
		time.Sleep(2 * time.Second)
		if err := e.DropWrap(t.Context(), 1); err != nil || slices.Contains(dev.Labels(), seal.EpochLabel(epochCluster, 1)) {
			t.Errorf("after it came back: %v", err)
		}
	})
}
