package command

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Answer is what one drawn region says to one co-sign question: for every request
// of one entry in which it was drawn, its signatures or a refusal, under one
// signature of its session key. It is also its statement for the audit.
type Answer struct {
	Region  identity.RegionID
	Index   uint64   // log index at which the attempts were opened
	Value   [32]byte // beacon value it verified and drew from
	Session identity.Fingerprint
	At      time.Time // its own clock when the answer left
	Items   []AnswerItem
	Sig     []byte
}

// AnswerItem is the answer for one attempt. Code OK carries one signature a message;
// any other code is a signed refusal: nothing released, and Text says why.
type AnswerItem struct {
	Request    RequestID
	Attempt    uint8
	Signers    []identity.RegionID // the k drawn regions, in drawn order
	Code       errs.Code
	Text       string
	Signatures [][]byte
}

func (a *Answer) write(w *wire.Writer) {
	w.U8(1)
	w.U8(uint8(a.Region))
	w.U64(a.Index)
	w.Fixed(a.Value[:])
	w.Fixed(a.Session[:])
	w.Time(a.At)
	w.U32(uint32(len(a.Items)))
	for i := range a.Items {
		a.Items[i].write(w)
	}
}

func (it *AnswerItem) write(w *wire.Writer) {
	w.Fixed(it.Request[:])
	w.U8(it.Attempt)
	w.U8(uint8(len(it.Signers)))
	for _, s := range it.Signers {
		w.U8(uint8(s))
	}
	w.U16(uint16(it.Code))
	w.String(it.Text)
	w.U32(uint32(len(it.Signatures)))
	for _, s := range it.Signatures {
		w.Blob(s)
	}
}

func (it *AnswerItem) read(r *wire.Reader) {
	r.Fixed(it.Request[:])
	it.Attempt = r.U8()
	n := int(r.U8())
	if n > MaxRegions {
		r.Fail("%d signers, limit %d", n, MaxRegions)
		return
	}
	for range n {
		it.Signers = append(it.Signers, identity.RegionID(r.U8()))
	}
	it.Code = errs.Code(r.U16())
	it.Text = r.String(MaxNote)
	m := r.Count(MaxMessages)
	for i := 0; i < m && r.Err() == nil; i++ {
		it.Signatures = append(it.Signatures, bytes.Clone(r.Blob(MaxSignatureLen)))
	}
}

// SignedBytes returns what the session key signs.
func (a *Answer) SignedBytes(cluster identity.ClusterID) []byte {
	w := wire.NewWriter(256 + 128*len(a.Items))
	w.String("tetrad/answer/v1")
	w.Fixed(cluster[:])
	a.write(w)
	return w.Bytes()
}

// Sign sets Session and Sig.
func (a *Answer) Sign(ctx context.Context, cluster identity.ClusterID, s identity.Signer) (err error) {
	a.Session = s.Public().Fingerprint()
	a.Sig, err = s.Sign(ctx, a.SignedBytes(cluster))
	return err
}

// Encode returns the canonical form.
func (a *Answer) Encode() []byte {
	w := wire.NewWriter(320 + 128*len(a.Items))
	a.write(w)
	w.Blob(a.Sig)
	return w.Bytes()
}

// Hash names the answer as it was signed.
func (a *Answer) Hash() [32]byte {
	w := wire.NewWriter(384 + 128*len(a.Items))
	w.String("tetrad/answer-hash/v1")
	w.Blob(a.Encode())
	return sha256.Sum256(w.Bytes())
}

// DecodeAnswer parses the canonical form without verifying the signature.
func DecodeAnswer(b []byte) (*Answer, error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != 1 {
		r.Fail("answer version %d", v)
	}
	a := &Answer{Region: identity.RegionID(r.U8()), Index: r.U64()}
	r.Fixed(a.Value[:])
	r.Fixed(a.Session[:])
	a.At = r.Time()
	n := r.Count(MaxItems)
	for i := 0; i < n && r.Err() == nil; i++ {
		var it AnswerItem
		it.read(r)
		a.Items = append(a.Items, it)
	}
	a.Sig = bytes.Clone(r.Blob(MaxSignatureLen))
	return a, r.Done()
}

// WordKind says what a region gives its word on.
type WordKind uint8

// The kinds of word.
const (
	WordRefused     WordKind = 1 // by About itself: it will not sign this attempt, and released nothing
	WordUnreachable WordKind = 2 // by another region: it cannot reach About either
	WordReachable   WordKind = 3 // by another region: it can reach About, which says it is ready
	WordNothing     WordKind = 4 // by About itself: it released nothing for this attempt, and never will
	WordWrong       WordKind = 5 // by another region: About answered the same question, under its signature, with what does not hold
)

// Word is one region's signed statement about another, the reason a second attempt
// or a change of health must carry.
type Word struct {
	Kind    WordKind
	About   identity.RegionID
	Request RequestID // in a word on health HealthSpell, and attempt 0; in WordNothing NothingOf
	Attempt uint8
	By      identity.RegionID
	Session identity.Fingerprint
	At      time.Time
	Answer  [32]byte // in WordWrong: Answer.Hash of what it got; not there in others
	Sig     []byte
}

// version is 2 for words with an answer, which were not there from the beginning.
func (v *Word) version() uint8 {
	if v.Kind == WordWrong {
		return 2
	}
	return 1
}

func (v *Word) write(w *wire.Writer) {
	w.U8(v.version())
	w.U8(uint8(v.Kind))
	w.U8(uint8(v.About))
	w.Fixed(v.Request[:])
	w.U8(v.Attempt)
	w.U8(uint8(v.By))
	w.Fixed(v.Session[:])
	w.Time(v.At)
	if v.Kind == WordWrong {
		w.Fixed(v.Answer[:])
	}
}

// SignedBytes returns what the session key signs.
func (v *Word) SignedBytes(cluster identity.ClusterID) []byte {
	w := wire.NewWriter(128)
	w.String("tetrad/word/v1")
	w.Fixed(cluster[:])
	v.write(w)
	return w.Bytes()
}

// Sign sets Session and Sig.
func (v *Word) Sign(ctx context.Context, cluster identity.ClusterID, s identity.Signer) (err error) {
	v.Session = s.Public().Fingerprint()
	v.Sig, err = s.Sign(ctx, v.SignedBytes(cluster))
	return err
}

// Encode returns the canonical form.
func (v *Word) Encode() []byte {
	w := wire.NewWriter(160)
	v.write(w)
	w.Blob(v.Sig)
	return w.Bytes()
}

// DecodeWord parses the canonical form without verifying the signature.
func DecodeWord(b []byte) (*Word, error) {
	r := wire.NewReader(b)
	x := r.U8()
	v := &Word{Kind: WordKind(r.U8()), About: identity.RegionID(r.U8())}
	if x != v.version() {
		r.Fail("word version %d of kind %d", x, v.Kind)
	}
	r.Fixed(v.Request[:])
	v.Attempt = r.U8()
	v.By = identity.RegionID(r.U8())
	r.Fixed(v.Session[:])
	v.At = r.Time()
	if v.Kind == WordWrong {
		r.Fixed(v.Answer[:])
	}
	v.Sig = bytes.Clone(r.Blob(MaxSignatureLen))
	return v, r.Done()
}

// HealthSpell stands for the request in a word on health: it names the spell, by the index
// at which the health of the region last changed or its session began. So a word is used
// up once the health it speaks of has changed.
func HealthSpell(since uint64) (id RequestID) {
	binary.BigEndian.PutUint64(id[8:], since)
	return id
}

// PossessionBytes is what a new signing key signs to prove possession: cluster, key
// and region, so that a proof cannot be replayed as another region's.
func PossessionBytes(cluster identity.ClusterID, key KeyID, region identity.RegionID) []byte {
	w := wire.NewWriter(64)
	w.String("tetrad/possession/v1")
	w.Fixed(cluster[:])
	w.Fixed(key[:])
	w.U8(uint8(region))
	return w.Bytes()
}

// AttestationBytes is what a region's identity key signs over its new signing key.
func AttestationBytes(cluster identity.ClusterID, key KeyID, region identity.RegionID, pub, attributes []byte) []byte {
	w := wire.NewWriter(192)
	w.String("tetrad/attestation/v1")
	w.Fixed(cluster[:])
	w.Fixed(key[:])
	w.U8(uint8(region))
	w.Blob(pub)
	w.Blob(attributes)
	return w.Bytes()
}
