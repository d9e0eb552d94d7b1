package command

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Format is the newest command format this version writes.
const Format = 1

// ID is chosen at random by the author, scoped to its principal, and remembered
// until the command's expiry: the same id asks for the same outcome.
type ID [16]byte

// KeyID identifies a signing key for ever: derived from the command that created it.
type KeyID [16]byte

// RequestID identifies a signature request: derived from author and command id.
type RequestID [16]byte

// String returns lower-case hex.
func (id ID) String() string        { return hex.EncodeToString(id[:]) }
func (id KeyID) String() string     { return hex.EncodeToString(id[:]) }
func (id RequestID) String() string { return hex.EncodeToString(id[:]) }

// Field is one committed value of a body.
type Field struct {
	Salt  [16]byte
	Value []byte
}

// Signature is one principal's signature over a command's SignedBytes.
type Signature struct {
	Principal identity.Fingerprint
	Sig       []byte
}

// Command is a signed change. Signatures[0] is the author's; further ones (dual
// control) sign the same bytes.
type Command struct {
	Format     uint8
	Type       Type
	ID         ID
	Principal  identity.Fingerprint
	Expiry     time.Time // millisecond resolution
	Fields     []Field
	Signatures []Signature
}

// New builds an unsigned command around body. Salts come from random (crypto/rand
// in production).
func New(body Body, author identity.Fingerprint, id ID, expiry time.Time, random io.Reader) (*Command, error) {
	values := encodeBody(body)
	salts := make([]byte, 16*len(values))
	if _, err := io.ReadFull(random, salts); err != nil {
		return nil, errs.Wrap(errs.Internal, err, "reading salts")
	}
	c := &Command{Format: Format, Type: body.Type(), ID: id, Principal: author,
		Expiry: expiry.Truncate(time.Millisecond).UTC(), Fields: make([]Field, len(values))}
	for i, v := range values {
		copy(c.Fields[i].Salt[:], salts[16*i:])
		c.Fields[i].Value = v
	}
	return c, nil
}

// Body decodes the fields into the body of the command's type.
func (c *Command) Body() (Body, error) { return decodeBody(c.Type, c.Fields) }

// Root returns the Merkle root (RFC 6962) over the salted field hashes.
func (c *Command) Root() [32]byte {
	hashes := make([][32]byte, len(c.Fields))
	for i, f := range c.Fields {
		hashes[i] = HashField(i, f)
	}
	return merkleRoot(hashes)
}

// HashField returns the leaf hash of field number i.
func HashField(i int, f Field) [32]byte {
	h := sha256.New()
	h.Write([]byte{0, uint8(i)})
	h.Write(f.Salt[:])
	h.Write(f.Value)
	var out [32]byte
	h.Sum(out[:0])
	return out
}

func merkleRoot(h [][32]byte) [32]byte {
	switch len(h) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return h[0]
	}
	k := 1
	for 2*k < len(h) {
		k *= 2
	}
	l, r := merkleRoot(h[:k]), merkleRoot(h[k:])
	return sha256.Sum256(append(append([]byte{1}, l[:]...), r[:]...))
}

// Commitment is what signatures cover: the header and the fields' root. It is what
// an audit leaf hashes, so a leaf stays provable when fields are withheld.
type Commitment struct {
	Format     uint8
	Type       Type
	ID         ID
	Principal  identity.Fingerprint
	Expiry     time.Time
	Root       [32]byte
	Signatures []Signature
}

// Commitment returns the command without its fields.
func (c *Command) Commitment() Commitment {
	return Commitment{c.Format, c.Type, c.ID, c.Principal, c.Expiry, c.Root(), c.Signatures}
}

// SignedBytes returns what every signature of the command covers.
func (c *Commitment) SignedBytes(cluster identity.ClusterID) []byte {
	w := wire.NewWriter(160)
	w.String("tetrad/command/v1")
	w.Fixed(cluster[:])
	c.writeHeader(w)
	w.Fixed(c.Root[:])
	return w.Bytes()
}

// Hash identifies the command's content, whoever signed it.
func (c *Commitment) Hash(cluster identity.ClusterID) [32]byte {
	return sha256.Sum256(c.SignedBytes(cluster))
}

func (c *Commitment) writeHeader(w *wire.Writer) {
	w.U8(c.Format)
	w.U16(uint16(c.Type))
	w.Fixed(c.ID[:])
	w.Fixed(c.Principal[:])
	w.Time(c.Expiry)
}

func (c *Commitment) readHeader(r *wire.Reader) {
	if c.Format = r.U8(); c.Format != Format {
		r.Fail("command format %d, this version reads %d", c.Format, Format)
	}
	c.Type = Type(r.U16())
	r.Fixed(c.ID[:])
	r.Fixed(c.Principal[:])
	c.Expiry = r.Time()
}

// Encode returns the canonical form of the commitment alone.
func (c *Commitment) Encode() []byte {
	w := wire.NewWriter(256)
	c.writeHeader(w)
	w.Fixed(c.Root[:])
	writeSignatures(w, c.Signatures)
	return w.Bytes()
}

// DecodeCommitment parses the canonical form of a commitment.
func DecodeCommitment(b []byte) (*Commitment, error) {
	r, c := wire.NewReader(b), &Commitment{}
	c.readHeader(r)
	r.Fixed(c.Root[:])
	c.Signatures = readSignatures(r)
	return c, r.Done()
}

// Sign appends the signature of one more principal; the first must be the author.
func (c *Command) Sign(ctx context.Context, cluster identity.ClusterID, s identity.Signer) error {
	who := s.Public().Fingerprint()
	if len(c.Signatures) == 0 && who != c.Principal {
		return errs.New(errs.Invalid, "command %s: the author %s must sign first", c.ID, c.Principal.Short())
	}
	if len(c.Signatures) >= MaxSignatures {
		return errs.New(errs.TooLarge, "command %s already carries %d signatures", c.ID, MaxSignatures)
	}
	for _, have := range c.Signatures {
		if have.Principal == who {
			return errs.New(errs.Invalid, "command %s is already signed by %s", c.ID, who.Short())
		}
	}
	cm := c.Commitment()
	sig, err := s.Sign(ctx, cm.SignedBytes(cluster))
	if err != nil {
		return err
	}
	c.Signatures = append(c.Signatures, Signature{who, sig})
	return nil
}

func writeSignatures(w *wire.Writer, sigs []Signature) {
	w.U8(uint8(len(sigs)))
	for _, s := range sigs {
		w.Fixed(s.Principal[:])
		w.Blob(s.Sig)
	}
}

func readSignatures(r *wire.Reader) []Signature {
	n := int(r.U8())
	if n > MaxSignatures {
		r.Fail("%d signatures, limit %d", n, MaxSignatures)
		return nil
	}
	sigs := make([]Signature, n)
	for i := range sigs {
		r.Fixed(sigs[i].Principal[:])
		sigs[i].Sig = bytes.Clone(r.Blob(MaxSignatureLen))
	}
	return sigs
}

// Encode returns the canonical form.
func (c *Command) Encode() []byte {
	n := 256
	for _, f := range c.Fields {
		n += 20 + len(f.Value)
	}
	w := wire.NewWriter(n)
	cm := Commitment{Format: c.Format, Type: c.Type, ID: c.ID, Principal: c.Principal, Expiry: c.Expiry}
	cm.writeHeader(w)
	w.U8(uint8(len(c.Fields)))
	for _, f := range c.Fields {
		w.Fixed(f.Salt[:])
		w.Blob(f.Value)
	}
	writeSignatures(w, c.Signatures)
	return w.Bytes()
}

// Decode parses the canonical form. It checks shape and size only: signatures,
// expiry and rights are judged by admission and Apply. The result aliases b.
func Decode(b []byte) (*Command, error) {
	if len(b) > MaxCommand {
		return nil, errs.New(errs.TooLarge, "command of %d bytes, limit %d", len(b), MaxCommand)
	}
	r := wire.NewReader(b)
	var cm Commitment
	cm.readHeader(r)
	n := int(r.U8())
	if n > MaxFields {
		r.Fail("%d fields, limit %d", n, MaxFields)
	}
	if r.Err() != nil {
		return nil, r.Err()
	}
	c := &Command{Format: cm.Format, Type: cm.Type, ID: cm.ID, Principal: cm.Principal, Expiry: cm.Expiry,
		Fields: make([]Field, n)}
	for i := range c.Fields {
		r.Fixed(c.Fields[i].Salt[:])
		c.Fields[i].Value = r.Blob(MaxField)
	}
	c.Signatures = readSignatures(r)
	if err := r.Done(); err != nil {
		return nil, err
	}
	if !c.Type.Known() {
		return nil, errs.New(errs.Malformed, "command type %d is unknown to this version", c.Type)
	}
	_, err := c.Body()
	return c, err
}

// RequestIDOf derives the id of the request a command opens.
func RequestIDOf(author identity.Fingerprint, id ID) RequestID {
	h := derive("tetrad/request/v1", author, id)
	return RequestID(h[:16])
}

// KeyIDOf derives the id of the key a command creates.
func KeyIDOf(author identity.Fingerprint, id ID) KeyID {
	h := derive("tetrad/key/v1", author, id)
	return KeyID(h[:16])
}

func derive(domain string, author identity.Fingerprint, id ID) [32]byte {
	w := wire.NewWriter(80)
	w.String(domain)
	w.Fixed(author[:])
	w.Fixed(id[:])
	return sha256.Sum256(w.Bytes())
}
