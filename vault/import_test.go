package vault_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/edwards25519"
	"github.com/btcsuite/btcd/btcec/v2"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

func (w *world) allowImport(on bool) {
	s := w.leading().View().Settings()
	s.Import = on
	w.must(w.dual(&command.Configure{Settings: s}))
}

// outside is a key as another program has it.
func outside(curve command.Curve, seed byte) (secret, point []byte) {
	b := bytes.Repeat([]byte{seed}, 32)
	if curve == taproot {
		private, public := btcec.PrivKeyFromBytes(b)
		return private.Serialize(), public.SerializeCompressed()
	}
	h := sha512.Sum512(b)
	scalar, err := edwards25519.NewScalar().SetBytesWithClamping(h[:32])
	if err != nil {
		panic(err)
	}
	return scalar.Bytes(), ed25519.NewKeyFromSeed(b).Public().(ed25519.PublicKey)
}

// dealtImport is an import of a key, with what was dealt to whom: tests seal it, or something else.
type dealtImport struct {
	*command.ImportKey
	shares map[identity.RegionID][]byte
}

func (w *world) deal(curve command.Curve, seed byte, signers uint8) dealtImport {
	w.t.Helper()
	secret, point := outside(curve, seed)
	suite := frost.BIP340
	if curve == ed25519Curve {
		suite = frost.Ed25519
	}
	split, shares, err := frost.SplitSecret(rand.Reader, suite, secret, int(signers), []uint8{1, 2, 3, 4})
	w.ok(err)
	wraps := w.leading().View().Wraps()
	d := dealtImport{&command.ImportKey{Name: fmt.Sprintf("old-%d-%d", curve, seed), Tenant: "acme", Curve: curve, Signers: signers, AllowBlind: true, Regions: everyone,
		Wrap: wraps[len(wraps)-1].Epoch, Point: point, Chain: [32]byte{seed}, Split: split.Encode()}, map[identity.RegionID][]byte{}}
	for _, s := range shares {
		d.shares[identity.RegionID(s.Region())] = s.Encode()
	}
	return d
}

// ask seals what was dealt and files the import.
func (w *world) ask(d dealtImport) command.KeyID {
	w.t.Helper()
	d.Boxes = nil
	for _, r := range d.Regions {
		b, err := box.Seal(w.wrap(d.Wrap).Key(r).Public, command.ImportInfo(w.kit.Cluster(), r, d.Wrap, d.Split), d.shares[r])
		w.ok(err)
		d.Boxes = append(d.Boxes, b)
	}
	return w.must(w.dual(d.ImportKey)).Key
}

// importing allows imports and waits for the keys to seal to.
func (w *world) importing() {
	w.t.Helper()
	w.allowImport(true)
	w.eventually("wrapping keys", w.offered(1, 4))
}

// TestImport: a key from outside goes live, signs for its old public key with every pair,
// under itself and its children, and goes on after a refresh, for ever marked.
func TestImport(t *testing.T) {
	for _, curve := range jointCurves {
		t.Run(curve.String(), func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.importing()
				d := w.deal(curve, 7, 2)
				k := w.live(w.ask(d), 1)
				if !k.Outside || k.Import != nil || !bytes.Equal(k.Point, d.Point) || k.Chain != d.Chain {
					t.Fatalf("%+v", k)
				}
				for i := range k.Sharing.Shares {
					if !bytes.Equal(w.share(k, k.Sharing, i), d.shares[k.Sharing.Shares[i].Region]) {
						t.Errorf("region %d holds another share than it was dealt", k.Sharing.Shares[i].Region)
					}
				}
				w.stocked(curve)
				w.signsForOld(k, d, "before the refresh")
				w.refresh(k.ID)
				k = w.live(k.ID, 2)
				w.signsForOld(k, d, "after the refresh")
				if !k.Outside || !bytes.Equal(k.Point, d.Point) || k.Chain != d.Chain {
					t.Fatalf("%+v", k)
				}
				w.passes(2 * time.Minute)
				w.eventually("the wrapping keys it was sealed to are destroyed", func() bool { return w.wrap(1) == nil })
				w.neverMixed()
				w.oneNonceOneMessage()
				w.consistent()
			})
		})
	}
}

// signsForOld has the key sign and judges by what the old key's owner knows.
func (w *world) signsForOld(k *fsm.Key, d dealtImport, message string) {
	w.t.Helper()
	c := w.joint(k, message)
	sums := w.proven(k, c, w.sign(c))
	if k.Curve == ed25519Curve && !ed25519.Verify(d.Point, []byte(message), sums[0]) {
		w.t.Error("not a signature of the old key")
	}
	c = w.joint(k, message, 1, 5)
	w.proven(k, c, w.sign(c))
}

// TestImportSurvivesDeath: a region that dies before it takes its share takes it afterwards.
func TestImportSurvivesDeath(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.importing()
		g := w.gate(2, command.TypeFinishShare)
		id := w.ask(w.deal(taproot, 7, 3))
		w.eventually("the share taken", g.seen.Load)
		w.nodes[2].kill()
		time.Sleep(time.Minute)
		w.set(func() { w.rewrite = nil })
		w.nodes[2].restart()
		if k := w.live(id, 1); k.Sharing.Threshold != 3 {
			t.Errorf("threshold %d", k.Sharing.Threshold)
		}
		w.consistent()
	})
}

// TestWrongImport: whatever is wrong with what was dealt, the importer is named, nothing
// goes live, and the same name can be used again.
func TestWrongImport(t *testing.T) {
	for name, tc := range map[string]struct {
		bend func(w *world, d *dealtImport)
		says string
	}{
		"another region's share": {func(w *world, d *dealtImport) { d.shares[3] = d.shares[2] }, "the importer by the word of [3]: the share it sealed to this region is not one of the key"},
		"a share of another split": {func(w *world, d *dealtImport) { d.shares[3] = w.deal(taproot, 7, 2).shares[3] },
			"the importer by the word of [3]: the share it sealed to this region is not one of the key"},
		"a share of another curve": {func(w *world, d *dealtImport) { d.shares[3] = w.deal(ed25519Curve, 7, 2).shares[3] },
			"the importer by the word of [3]: the share it sealed to this region is not one of the key"},
		"no share":  {func(w *world, d *dealtImport) { d.shares[3] = []byte("garbage") }, "the importer by the word of [3]: what it sealed to this region is no share"},
		"a zero":    {func(w *world, d *dealtImport) { clear(d.shares[3][7:]) }, "the importer by the word of [3]: what it sealed to this region is no share"},
		"no split":  {func(w *world, d *dealtImport) { d.Split = []byte{1, 2, 3} }, "the importer by the word of"},
		"other key": {func(w *world, d *dealtImport) { _, d.Point = outside(taproot, 8) }, "it dealt key"},
		"other curve": {func(w *world, d *dealtImport) { d.Split = w.deal(ed25519Curve, 7, 2).Split },
			"it dealt a key of ed25519 for 2 signers, not of secp256k1 for 2"},
		"more signers":     {func(w *world, d *dealtImport) { d.Split = w.deal(taproot, 7, 3).Split }, "for 3 signers, not of secp256k1 for 2"},
		"fewer signers":    {func(w *world, d *dealtImport) { d.Signers = 3 }, "for 2 signers, not of secp256k1 for 3"},
		"the other parity": {func(w *world, d *dealtImport) { d.Point[0] ^= 1 }, "it dealt key"},
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, func(t *testing.T, w *world) {
				w.importing()
				d := w.deal(taproot, 7, 2)
				tc.bend(w, &d)
				w.notImported(w.ask(d), tc.says)
				w.live(w.ask(w.deal(taproot, 7, 2)), 1)
				w.consistent()
			})
		})
	}
}

func (w *world) notImported(id command.KeyID, says string) {
	w.t.Helper()
	w.eventually("the import given up", func() bool { k := w.keyRow(id); return k != nil && k.State == fsm.KeyRetired })
	if k := w.keyRow(id); !strings.Contains(k.Reason, says) || k.Sharing != nil || k.Import != nil {
		w.t.Errorf("reason %q, want %q; %+v", k.Reason, says, k)
	}
}

// TestBoxOfAnotherPlace: a box is bound to its region, epoch and split.
func TestBoxOfAnotherPlace(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.importing()
		d := w.deal(ed25519Curve, 7, 2)
		for _, r := range d.Regions {
			info := command.ImportInfo(w.kit.Cluster(), r, d.Wrap, d.Split)
			if r == 4 {
				info = command.ImportInfo(w.kit.Cluster(), r, d.Wrap+1, d.Split)
			}
			b, err := box.Seal(w.wrap(d.Wrap).Key(r).Public, info, d.shares[r])
			w.ok(err)
			d.Boxes = append(d.Boxes, b)
		}
		w.notImported(w.must(w.dual(d.ImportKey)).Key, "the importer by the word of [4]: what it sealed to this region does not open")
	})
}

// TestImportRefused: while it is off, and with one region away.
func TestImportRefused(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.importing()
		d := w.deal(ed25519Curve, 7, 2)
		w.allowImport(false)
		d.Boxes = [][]byte{{1}, {2}, {3}, {4}}
		if out, err := w.leading().Propose(t.Context(), w.dual(d.ImportKey)); err != nil || out.Code != errs.Denied {
			t.Errorf("while it is off: %+v, %v", out, err)
		}
		w.allowImport(true)
		w.nodes[4].kill()
		id := w.ask(d)
		w.passes(fsm.ImportTime + time.Second)
		w.notImported(id, "region 4: nothing came by the deadline")
		w.nodes[4].restart()
		w.live(w.ask(w.deal(ed25519Curve, 7, 2)), 1)
	})
}

// TestUnfitHolderOfImport: who seals to a key that can leave its HSM is told so by two others.
func TestUnfitHolderOfImport(t *testing.T) {
	simulate(t, func(t *testing.T, w *world) {
		w.offersOther(3, func(b *command.OfferWrap) { b.Attributes = []byte("extractable") })
		w.importing()
		w.notImported(w.ask(w.deal(ed25519Curve, 7, 2)), "region 3 by the word of")
	})
}
