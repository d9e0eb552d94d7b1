package vault_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
	"github.com/tetrad-vault/tetrad/vault"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// liar speaks for region 4, whose own process is down: it follows the protocol but for
// what a test changes.
type liar struct {
	*world
	key    command.KeyID
	id     command.CeremonyID
	terms  frost.Terms
	first  [64]byte        // what the constant is made from
	honest *frost.Ceremony // whose dealing is published
	other  *frost.Ceremony // same constant, another polynomial

	hashed  func(dealing []byte) []byte         // what is hashed, of the encoded dealing
	dealing func(dealing []byte) []byte         // what is revealed
	dealt   func(to uint8, plain []byte) []byte // what is sealed
	forged  bool                                // values of the other polynomial, signed
	boxes   func(boxes [][]byte) [][]byte       // what is delivered
}

func (w *world) liar(curve command.Curve) *liar {
	w.t.Helper()
	w.threshold(ed25519Curve, 2) // so that region 4 has a wrapping key
	w.nodes[4].kill()
	return &liar{world: w, key: w.newThreshold(curve, 2)}
}

// forked reads its first 64 bytes from a fixed place and the rest at random: two of them
// make the same constant and different polynomials.
func forked(first [64]byte) io.Reader { return io.MultiReader(bytes.NewReader(first[:]), rand.Reader) }

// at waits for a step of the key's ceremony and returns it.
func (l *liar) at(step fsm.CeremonyStep) *fsm.Ceremony {
	l.t.Helper()
	l.eventually("step "+step.String(), func() bool {
		c := l.keyRow(l.key).Ceremony
		return c != nil && c.Step == step && (l.id.Try == 0 || c.ID == l.id)
	})
	return l.keyRow(l.key).Ceremony
}

// say files a command of region 4.
func (l *liar) say(body command.Body) {
	l.t.Helper()
	out, err := l.leading().Propose(context.Background(), l.command(body, time.Minute, l.nodes[4].session))
	l.ok(err)
	l.ok(out.Err())
}

// begin joins the ceremony and publishes a hash.
func (l *liar) begin() {
	l.t.Helper()
	c := l.at(fsm.StepHash)
	l.id = c.ID
	var err error
	l.terms, err = vault.CeremonyTerms(l.kit.Cluster(), l.keyRow(l.key))
	l.ok(err)
	_, _ = rand.Read(l.first[:])
	l.honest, err = frost.Begin(forked(l.first), l.terms, 4, nil)
	l.ok(err)
	l.other, err = frost.Begin(forked(l.first), l.terms, 4, nil)
	l.ok(err)
	l.say(&command.HashDealing{Ceremony: l.id, Hash: dealingHash(l.change(l.hashed, l.own(l.honest))), Seed: []byte("none")})
}

// own is a ceremony's own dealing, encoded, before the hashes of others are there.
func (l *liar) own(c *frost.Ceremony) []byte {
	h, _ := c.Hash()
	for r := uint8(1); r <= 3; r++ {
		l.ok(c.AddHash(r, l.hashOf(identity.RegionID(r), h)))
	}
	d, err := c.Reveal()
	l.ok(err)
	return d.Encode()
}

func (l *liar) hashOf(r identity.RegionID, _ [32]byte) [32]byte {
	var hash [32]byte
	l.eventually("hash of another region", func() bool {
		p := l.keyRow(l.key).Ceremony.Part(r)
		if p != nil && p.Hashed {
			hash = p.Hash
		}
		return hash != [32]byte{}
	})
	return hash
}

func (l *liar) change(f func([]byte) []byte, b []byte) []byte {
	if f == nil {
		return b
	}
	return f(bytes.Clone(b))
}

func dealingHash(encoded []byte) [32]byte {
	w := wire.NewWriter(512)
	w.String("tetrad/frost/dealing/v1")
	w.Blob(encoded)
	return sha256.Sum256(w.Bytes())
}

func (l *liar) reveal() {
	l.t.Helper()
	l.at(fsm.StepDeal)
	l.say(&command.Deal{Ceremony: l.id, Dealing: l.change(l.dealing, l.own(l.honest))})
}

// share delivers the sealed values.
func (l *liar) share() {
	l.t.Helper()
	c := l.at(fsm.StepShares)
	from := l.honest
	if l.forged {
		from = l.other
		l.ok(from.AddHash(4, dealingHash(l.own(from))))
	}
	for _, p := range c.Parts {
		d, err := frost.DecodeDealing(uint8(p.Region), p.Dealing)
		l.ok(err)
		if p.Region != 4 {
			l.ok(from.AddDealing(uint8(p.Region), d))
		}
	}
	wrap, _ := l.leading().View().Wrap(c.Wrap)
	var boxes [][]byte
	for _, to := range c.Holders {
		d, err := from.Dealt(uint8(to))
		l.ok(err)
		plain := d.Encode()
		if l.dealt != nil {
			plain = l.dealt(uint8(to), plain)
		}
		sealed, err := box.Seal(wrap.Key(to).Public, vault.DealtInfo(l.kit.Cluster(), l.id, 4, to), plain)
		l.ok(err)
		boxes = append(boxes, sealed)
	}
	if l.boxes != nil {
		boxes = l.boxes(boxes)
	}
	l.say(&command.DealShares{Ceremony: l.id, Sealed: boxes})
}

// convicted waits for the fault that names region 4, at once and not at a deadline, and
// then lets it take part honestly: the key comes to be.
func (l *liar) convicted(step fsm.CeremonyStep) {
	l.t.Helper()
	began := time.Now()
	l.eventually("the try failed", func() bool { return len(l.faults(l.key)) > 0 })
	f := l.faults(l.key)[0]
	if f.Region != 4 || f.Step != step || f.Try != l.id.Try || len(f.By) < 2 || slices.Contains(f.By, 4) {
		l.t.Errorf("fault %+v", f)
	}
	if time.Since(began) > time.Second {
		l.t.Errorf("it took %s", time.Since(began))
	}
	l.reformed()
}

func (l *liar) reformed() {
	l.t.Helper()
	l.nodes[4].restart()
	l.live(l.key, 1)
	l.neverMixed(4)
}

// rightBut replaces all boxes but one by right ones.
func (l *liar) rightBut(boxes [][]byte, but int) [][]byte {
	c := l.keyRow(l.key).Ceremony
	wrap, _ := l.leading().View().Wrap(c.Wrap)
	for _, p := range c.Parts {
		d, err := frost.DecodeDealing(uint8(p.Region), p.Dealing)
		l.ok(err)
		l.ok(l.honest.AddDealing(uint8(p.Region), d))
	}
	for i, to := range c.Holders {
		if i == but {
			continue
		}
		d, err := l.honest.Dealt(uint8(to))
		l.ok(err)
		boxes[i], err = box.Seal(wrap.Key(to).Public, vault.DealtInfo(l.kit.Cluster(), l.id, 4, to), d.Encode())
		l.ok(err)
	}
	return boxes
}

// complaint is region 4's about what it was dealt by another.
func (l *liar) complaint(from identity.RegionID, change func(plain []byte)) []byte {
	c := l.keyRow(l.key).Ceremony
	plain, err := l.nodes[4].unwrap(c.Wrap, c.Part(from).Sealed[3], vault.DealtInfo(l.kit.Cluster(), l.id, from, 4))
	l.ok(err)
	if change != nil {
		change(plain)
	}
	w := wire.NewWriter(256)
	w.U8(1)
	w.Blob(plain)
	return w.Bytes()
}
