package seal

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Layout of a sealed blob (docs/spec/sealed.md):
//
//	format 1 | key version 4 | purpose 1 | region 1 | boot 16 | nonce 12 | ciphertext and tag
//	<------------- names the subkey ------------->
const (
	formatSealed = 1
	subkeySize   = 1 + 4 + 1 + 1 + 16
	nonceSize    = 12
	counterSize  = 5 // of the nonce, at its end; the rest is random
	headerSize   = subkeySize + nonceSize
	tagSize      = 16

	// Overhead is how much longer a sealed blob is than its plaintext.
	Overhead = headerSize + tagSize
)

const aadPrefix = "tetrad/sealed/v1"

// subkeyID is the head of a blob up to the nonce: everything its subkey depends on.
type subkeyID [subkeySize]byte

func makeSubkeyID(version uint32, id sealerID) subkeyID {
	var s subkeyID
	s[0] = formatSealed
	binary.BigEndian.PutUint32(s[1:5], version)
	s[5], s[6] = byte(id.purpose), byte(id.region)
	copy(s[7:], id.boot[:])
	return s
}

func (s subkeyID) version() uint32  { return binary.BigEndian.Uint32(s[1:5]) }
func (s subkeyID) purpose() Purpose { return Purpose(s[5]) }

// Sealer seals for one purpose, region and boot, and opens what any region sealed for
// that purpose in any boot. It is safe for concurrent use.
type Sealer struct {
	ring  *Keyring
	id    subkeyID
	aead  cipher.AEAD
	count atomic.Uint64 // in the nonce; a boot is never reused, so neither is a nonce
	mix   func([]byte)  // fills the rest of the nonce: a memory that was cloned counts on alike
}

// Format keeps the keyring behind it out of logs and errors, whatever the verb.
func (s *Sealer) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "[sealer for %s]", s.id.purpose()) }

func random(b []byte) { _, _ = rand.Read(b) } // does not fail

func newSealer(k *Keyring, id sealerID) *Sealer {
	s := &Sealer{ring: k, id: makeSubkeyID(k.current, id), mix: random}
	if id.purpose.valid() {
		s.aead, _ = k.subkey(s.id)
	}
	return s
}

// Seal encrypts plaintext and binds it to context, which Open must repeat: where the
// blob belongs, such as a file name or an index.
func (s *Sealer) Seal(plaintext, context []byte) ([]byte, error) {
	if s.aead == nil {
		return nil, errs.New(errs.Invalid, "sealing for purpose %d, which does not exist", s.id.purpose())
	}
	if len(plaintext) > maxPlaintext {
		return nil, errs.New(errs.TooLarge, "sealing %d bytes, limit %d", len(plaintext), maxPlaintext)
	}
	n := s.count.Add(1)
	if n >= maxSeals {
		return nil, errs.New(errs.BadState, "subkey of purpose %s is used up", s.id.purpose()).WithHint("restart the node: every boot has subkeys of its own")
	}
	out := make([]byte, headerSize, headerSize+len(plaintext)+tagSize)
	copy(out, s.id[:])
	binary.BigEndian.PutUint64(out[headerSize-8:], n)
	s.mix(out[subkeySize : headerSize-counterSize])
	return s.aead.Seal(out, out[subkeySize:headerSize], plaintext, s.ring.aad(out, context)), nil
}

// Open checks and decrypts a blob. Every failure is Corrupt: what was tampered with,
// belongs elsewhere or is under a key we do not have looks the same.
func (s *Sealer) Open(sealed, context []byte) ([]byte, error) {
	if len(sealed) < Overhead || len(sealed) > maxPlaintext+Overhead {
		return nil, errs.New(errs.Corrupt, "sealed blob of %d bytes", len(sealed))
	}
	id := subkeyID(sealed)
	if id[0] != formatSealed || id.purpose() != s.id.purpose() {
		return nil, errs.New(errs.Corrupt, "blob of format %d sealed for %s, not for %s", id[0], id.purpose(), s.id.purpose())
	}
	aead, known, err := s.opener(id)
	if err != nil {
		return nil, err
	}
	plain, err := aead.Open(nil, sealed[subkeySize:headerSize], sealed[headerSize:], s.ring.aad(sealed, context))
	if err != nil {
		return nil, errs.New(errs.Corrupt, "blob sealed for %s by region %d does not authenticate", id.purpose(), id[6])
	}
	if !known { // only now: garbage must not push good subkeys out
		s.ring.openers.put(id, aead)
	}
	return plain, nil
}

func (s *Sealer) opener(id subkeyID) (aead cipher.AEAD, known bool, err error) {
	if id == s.id && s.aead != nil {
		return s.aead, true, nil
	}
	if aead := s.ring.openers.get(id); aead != nil {
		return aead, true, nil
	}
	aead, err = s.ring.subkey(id)
	return aead, false, err
}

// aad names purpose and key version (both in the header), cluster and context.
func (k *Keyring) aad(blob, context []byte) []byte {
	b := make([]byte, 0, len(aadPrefix)+len(k.cluster)+headerSize+len(context))
	b = append(b, aadPrefix...)
	b = append(b, k.cluster[:]...)
	b = append(b, blob[:headerSize]...)
	return append(b, context...)
}

// subkey derives the AES-256-GCM key that id names.
func (k *Keyring) subkey(id subkeyID) (cipher.AEAD, error) {
	root, ok := k.secret(id.purpose(), id.version())
	if !ok {
		return nil, errs.New(errs.Corrupt, "blob is sealed under root key version %d, which this keyring lacks", id.version())
	}
	w := wire.NewWriter(64)
	w.Fixed([]byte("tetrad/subkey/v1"))
	w.Fixed(id[1:]) // version, purpose, region, boot
	return newGCM(derive(root[:], k.cluster, string(w.Bytes())))
}

func newGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "AES key")
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "AES-GCM")
	}
	return aead, nil
}

// openers remembers subkeys of other regions and boots. When full it starts afresh:
// a log is read boot by boot, so a smarter choice of victim would win nothing.
type openers struct {
	mu    sync.RWMutex
	aeads map[subkeyID]cipher.AEAD
}

func (o *openers) get(id subkeyID) cipher.AEAD {
	o.mu.RLock()
	defer o.mu.RUnlock()
	return o.aeads[id]
}

func (o *openers) put(id subkeyID, aead cipher.AEAD) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.aeads == nil || len(o.aeads) >= maxOpeners {
		o.aeads = map[subkeyID]cipher.AEAD{}
	}
	o.aeads[id] = aead
}
