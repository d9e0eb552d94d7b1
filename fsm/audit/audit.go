// Package audit is the vault's history for outsiders: leaves that come out of
// Apply, hashed into an RFC 6962 tree whose frontier is part of the replicated
// state, and the proofs that tie a leaf to a root.
//
// The package is pure: no clock, no I/O, no randomness. Who keeps the leaves
// (replication) and who judges them (internal/auditor) live elsewhere.
package audit

import (
	"bytes"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// LeafFormat is the newest leaf format this version writes.
const LeafFormat = 1

// Leaf is one line of the audit log: a command as it was judged. What is hashed is
// the commitment and the outcome (Canonical); the field values ride beside it, each
// provable against the commitment's root, so a leaf can be shown redacted.
type Leaf struct {
	Seq      uint64 // position in the tree, from 0 (the genesis)
	Meta     command.Meta
	Stamp    time.Time // of the entry, millisecond resolution
	Position uint32    // of the command in its entry
	Command  command.Commitment
	Code     errs.Code
	Text     string              // for people; ids, never names or payloads: it cannot be withheld
	Effect   []byte              // Effect.Encode; empty when nothing changed
	Fields   []command.Field     // one a field of the command, in order; zero where withheld
	Withheld map[uint8]FieldHash // hashes of the fields that are not shown; nil when all are
}

// FieldHash is command.HashField of a field that is not shown.
type FieldHash [32]byte

// GenesisLeaf is leaf 0: an unsigned, typeless command whose only field is the
// encoded genesis (which carries its own signatures). Its chain hash is the lineage.
func GenesisLeaf(genesis []byte, lineage [32]byte, stamp time.Time) Leaf {
	c := command.Command{Format: command.Format, Expiry: stamp.Truncate(time.Millisecond).UTC(),
		Fields: []command.Field{{Value: genesis}}}
	return Leaf{Meta: command.Meta{Chain: lineage}, Stamp: c.Expiry, Command: c.Commitment(),
		Code: errs.OK, Fields: c.Fields}
}

// IsGenesis reports whether l has the shape of leaf 0.
func (l *Leaf) IsGenesis() bool { return l.Seq == 0 && l.Command.Type == 0 && l.Meta.Index == 0 }

// Canonical returns the bytes that are hashed into the tree.
func (l *Leaf) Canonical() []byte {
	w := wire.NewWriter(448 + len(l.Text) + len(l.Effect))
	l.write(w)
	return w.Bytes()
}

func (l *Leaf) write(w *wire.Writer) {
	w.U8(LeafFormat)
	w.U64(l.Seq)
	w.U64(l.Meta.Index)
	w.U64(l.Meta.Term)
	w.Fixed(l.Meta.Chain[:])
	w.Time(l.Stamp)
	w.U32(l.Position)
	w.Blob(l.Command.Encode())
	w.U16(uint16(l.Code))
	w.String(l.Text)
	w.Blob(l.Effect)
}

func (l *Leaf) read(r *wire.Reader) {
	if v := r.U8(); v != LeafFormat {
		r.Fail("leaf format %d, this version reads %d", v, LeafFormat)
	}
	l.Seq = r.U64()
	l.Meta.Index = r.U64()
	l.Meta.Term = r.U64()
	r.Fixed(l.Meta.Chain[:])
	l.Stamp = r.Time()
	l.Position = r.U32()
	raw := r.Blob(maxCommitment)
	if r.Err() != nil {
		return
	}
	c, err := command.DecodeCommitment(raw)
	if err != nil {
		r.Fail("commitment: %v", err)
		return
	}
	l.Command = *c
	l.Code = errs.Code(r.U16())
	l.Text = r.String(MaxText)
	l.Effect = bytes.Clone(r.Blob(MaxEffect))
}

// Hash returns the RFC 6962 leaf hash of Canonical.
func (l *Leaf) Hash() [32]byte { return HashLeaf(l.Canonical()) }

// HashLeaf returns the RFC 6962 leaf hash of canonical leaf bytes.
func HashLeaf(canonical []byte) [32]byte { return tlog.RecordHash(canonical) }

// DecodeCanonical parses hashed bytes: a leaf without its fields.
func DecodeCanonical(b []byte) (*Leaf, error) {
	r, l := wire.NewReader(b), &Leaf{}
	l.read(r)
	return l, r.Done()
}

// How a field stands in the stored form.
const (
	fieldShown    = 1 // salt and value
	fieldWithheld = 2 // hash only
)

// Encode returns the stored form: the canonical bytes, then the fields.
func (l *Leaf) Encode() []byte {
	b, _ := l.EncodeAndHash()
	return b
}

// EncodeAndHash returns the stored form and the leaf hash for the price of one.
func (l *Leaf) EncodeAndHash() ([]byte, [32]byte) {
	n := 640 + len(l.Text) + len(l.Effect)
	for i := range l.Fields {
		n += 40 + len(l.Fields[i].Value)
	}
	w := wire.NewWriter(n)
	canonical := l.Canonical()
	w.Blob(canonical)
	w.U8(uint8(len(l.Fields)))
	for i := range l.Fields {
		if h, ok := l.Withheld[uint8(i)]; ok {
			w.U8(fieldWithheld)
			w.Fixed(h[:])
			continue
		}
		w.U8(fieldShown)
		w.Fixed(l.Fields[i].Salt[:])
		w.Blob(l.Fields[i].Value)
	}
	return w.Bytes(), HashLeaf(canonical)
}

// DecodeLeaf parses the stored form. It checks shape and size; CheckFields ties the
// fields to the commitment, the tree ties the leaf to a root. Fields alias b.
func DecodeLeaf(b []byte) (*Leaf, error) {
	if len(b) > MaxLeaf {
		return nil, errs.New(errs.TooLarge, "audit leaf of %d bytes, limit %d", len(b), MaxLeaf)
	}
	r := wire.NewReader(b)
	canonical := r.Blob(MaxLeaf)
	if r.Err() != nil {
		return nil, r.Err()
	}
	l, err := DecodeCanonical(canonical)
	if err != nil {
		return nil, err
	}
	l.readFields(r)
	return l, r.Done()
}

func (l *Leaf) readFields(r *wire.Reader) {
	n := int(r.U8())
	if n > command.MaxFields {
		r.Fail("%d fields, limit %d", n, command.MaxFields)
		return
	}
	for i := 0; i < n && r.Err() == nil; i++ {
		var f command.Field
		switch tag := r.U8(); tag {
		case fieldShown:
			r.Fixed(f.Salt[:])
			f.Value = r.Blob(command.MaxField)
		case fieldWithheld:
			var h FieldHash
			r.Fixed(h[:])
			if l.Withheld == nil {
				l.Withheld = map[uint8]FieldHash{}
			}
			l.Withheld[uint8(i)] = h
		default:
			r.Fail("field %d has tag %d", i, tag)
		}
		l.Fields = append(l.Fields, f)
	}
}
