package command

import (
	"bytes"
	"context"
	"crypto/sha256"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// OutcomeWord is a region's word on how its own replica decided one command. It names the
// command by its content, so that it holds for no other, and repeats the asker's nonce, so
// that it was given now. Two regions' words that agree prove the outcome: one of two is
// honest, and applies only what is certified. After a command that takes rights away the
// region signs nothing against it any more.
type OutcomeWord struct {
	Lineage  [32]byte
	Command  [32]byte      // hash of the command's content
	Nonce    [16]byte      // of who asked
	Code     errs.Code     // OK: carried out
	Meta     Meta          // of the entry that decided it; the index only where the region no longer knows the rest
	Key      KeyID         // that it created, else zero
	Request  RequestID     // that it opened, else zero
	Standing [32]byte      // Standing.Hash of that request, else zero
	Next     uint32        // index after the last address that it had the vault choose, else zero
	Applied  uint64        // index the region had applied when it signed, at least Meta.Index
	Skew     time.Duration // MaxSkew of the settings the region holds, which bounds the wait after a freeze
	Region   identity.RegionID
	Session  identity.Fingerprint
	At       time.Time // its own clock
	Sig      []byte
}

func (o *OutcomeWord) write(w *wire.Writer) {
	w.U8(o.version())
	w.Fixed(o.Lineage[:])
	w.Fixed(o.Command[:])
	w.Fixed(o.Nonce[:])
	w.U16(uint16(o.Code))
	w.U64(o.Meta.Index)
	w.U64(o.Meta.Term)
	w.Fixed(o.Meta.Chain[:])
	w.Fixed(o.Key[:])
	w.Fixed(o.Request[:])
	w.Fixed(o.Standing[:])
	if o.Next != 0 {
		w.U32(o.Next)
	}
	w.U64(o.Applied)
	w.U64(uint64(o.Skew.Milliseconds()))
	w.U8(uint8(o.Region))
	w.Fixed(o.Session[:])
	w.Time(o.At)
}

// version is 2 for words on addresses given out, 1 for all others.
func (o *OutcomeWord) version() uint8 {
	if o.Next != 0 {
		return 2
	}
	return 1
}

// SignedBytes returns what the session key signs.
func (o *OutcomeWord) SignedBytes(cluster identity.ClusterID) []byte {
	w := wire.NewWriter(384)
	w.String("tetrad/outcome-word/v1")
	w.Fixed(cluster[:])
	o.write(w)
	return w.Bytes()
}

// Sign sets Session and Sig.
func (o *OutcomeWord) Sign(ctx context.Context, cluster identity.ClusterID, s identity.Signer) (err error) {
	o.Session = s.Public().Fingerprint()
	o.Sig, err = s.Sign(ctx, o.SignedBytes(cluster))
	return err
}

// Verify checks the signature by the session key of the region it names.
func (o *OutcomeWord) Verify(cluster identity.ClusterID, session identity.PublicKey) error {
	if session.Fingerprint() != o.Session || !session.Verify(o.SignedBytes(cluster), o.Sig) {
		return errs.New(errs.Unverified, "the word of region %d on a command does not verify", o.Region)
	}
	return nil
}

// Placed reports whether the word names the whole place of the entry.
func (o *OutcomeWord) Placed() bool { return o.Meta.Term != 0 }

// Agrees reports whether two words say the same of one command. One that does not know
// the whole place agrees with any of its index.
func (o *OutcomeWord) Agrees(p *OutcomeWord) bool {
	a, b := *o, *p
	if !a.Placed() || !b.Placed() {
		a.Meta, b.Meta = Meta{Index: a.Meta.Index}, Meta{Index: b.Meta.Index}
	}
	return a.Lineage == b.Lineage && a.Command == b.Command && a.Code == b.Code && a.Meta == b.Meta &&
		a.Key == b.Key && a.Request == b.Request && a.Standing == b.Standing && a.Next == b.Next
}

// Encode returns the canonical form.
func (o *OutcomeWord) Encode() []byte {
	w := wire.NewWriter(448)
	o.write(w)
	w.Blob(o.Sig)
	return w.Bytes()
}

// DecodeOutcomeWord parses the canonical form without verifying the signature.
func DecodeOutcomeWord(b []byte) (*OutcomeWord, error) {
	r := wire.NewReader(b)
	v := r.U8()
	if v != 1 && v != 2 {
		r.Fail("outcome word version %d", v)
	}
	o := &OutcomeWord{}
	r.Fixed(o.Lineage[:])
	r.Fixed(o.Command[:])
	r.Fixed(o.Nonce[:])
	o.Code = errs.Code(r.U16())
	o.Meta.Index, o.Meta.Term = r.U64(), r.U64()
	r.Fixed(o.Meta.Chain[:])
	r.Fixed(o.Key[:])
	r.Fixed(o.Request[:])
	r.Fixed(o.Standing[:])
	if v == 2 {
		if o.Next = r.U32(); o.Next == 0 {
			r.Fail("addresses given out, but none")
		}
	}
	o.Applied = r.U64()
	skew := r.U64()
	if skew > uint64(MaxSkew.Milliseconds()) {
		r.Fail("a skew of %d ms, limit %s", skew, MaxSkew)
	}
	o.Skew = time.Duration(skew) * time.Millisecond
	o.Region = identity.RegionID(r.U8())
	r.Fixed(o.Session[:])
	o.At = r.Time()
	o.Sig = bytes.Clone(r.Blob(MaxSignatureLen))
	if r.Err() == nil {
		o.check(r)
	}
	return o, r.Done()
}

func (o *OutcomeWord) check(r *wire.Reader) {
	switch {
	case o.Code == 0:
		r.Fail("an outcome without a code")
	case o.Applied < o.Meta.Index:
		r.Fail("a word on entry %d, applied up to %d", o.Meta.Index, o.Applied)
	case !o.Placed() && o.Meta.Chain != [32]byte{}:
		r.Fail("a chain hash without a term")
	case (o.Request == RequestID{}) != (o.Standing == [32]byte{}):
		r.Fail("a request without its standing, or the reverse")
	}
}

// Standing is all that a region shows of a signature request but its payload, which the
// command's content hash covers. It has no stored form: words carry its hash.
type Standing struct {
	ID         RequestID
	Command    ID
	Content    [32]byte // hash of the command's content
	Author     identity.Fingerprint
	Tenant     string
	Key        KeyID
	KeyVersion uint32
	Kind       Kind
	HashAlg    Hash
	Note       string
	Expiry     time.Time
	State      uint8 // fsm.RequestState
	Attempts   []StandingAttempt
	Results    []StandingResult // in drawn order, once complete
	Value      [32]byte
	Opened     uint64
	Closed     uint64 // of one that ended without signatures; those are handed out before the end
	Leaf       uint64
}

// StandingAttempt is one opened draw.
type StandingAttempt struct {
	Number   uint8
	Meta     Meta
	Stamp    time.Time
	Eligible []identity.RegionID
}

// StandingResult is one drawn region's signatures.
type StandingResult struct {
	Region     identity.RegionID
	Signatures [][]byte
}

// Hash is what regions' words name: equal wherever the same is held.
func (s *Standing) Hash() [32]byte {
	w := wire.NewWriter(1024)
	w.String("tetrad/request-standing/v1")
	w.Fixed(s.ID[:])
	w.Fixed(s.Command[:])
	w.Fixed(s.Content[:])
	w.Fixed(s.Author[:])
	w.String(s.Tenant)
	w.Fixed(s.Key[:])
	w.U32(s.KeyVersion)
	w.U8(uint8(s.Kind))
	w.U8(uint8(s.HashAlg))
	w.String(s.Note)
	w.Time(s.Expiry)
	w.U8(s.State)
	w.U32(uint32(len(s.Attempts)))
	for i := range s.Attempts {
		s.Attempts[i].write(w)
	}
	w.U32(uint32(len(s.Results)))
	for _, r := range s.Results {
		w.U8(uint8(r.Region))
		w.U32(uint32(len(r.Signatures)))
		for _, sig := range r.Signatures {
			w.Blob(sig)
		}
	}
	w.Fixed(s.Value[:])
	w.U64(s.Opened)
	w.U64(s.Closed)
	w.U64(s.Leaf)
	return sha256.Sum256(w.Bytes())
}

func (a *StandingAttempt) write(w *wire.Writer) {
	w.U8(a.Number)
	w.U64(a.Meta.Index)
	w.U64(a.Meta.Term)
	w.Fixed(a.Meta.Chain[:])
	w.Time(a.Stamp)
	w.U32(uint32(len(a.Eligible)))
	for _, r := range a.Eligible {
		w.U8(uint8(r))
	}
}
