package chain

import (
	"bytes"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Kind says what a region is accused of.
type Kind uint8

// The kinds. Numbers are part of the stored form: append, never renumber.
const (
	RivalEntries     Kind = 1 // two entry signatures for one (term, index)
	RivalAckPair     Kind = 2 // two acks for one (term, index)
	RivalVotes       Kind = 3 // two grants, or reports of two logs, in one term
	RefusedEntry     Kind = 4 // a signed entry that admission refused
	UnprovenSnapshot Kind = 5 // a snapshot offered without a quorum's signatures
	FalseTimeout     Kind = 6 // a pre-vote for silence right after an ack to that leader
	StaleCertificate Kind = 7 // an older certificate claimed as the newest
)

var kindNames = map[Kind]string{
	RivalEntries: "rival entries", RivalAckPair: "rival acks", RivalVotes: "rival votes", RefusedEntry: "refused entry",
	UnprovenSnapshot: "snapshot without signatures", FalseTimeout: "false time-out", StaleCertificate: "stale certificate",
}

// String returns the name shown to operators.
func (k Kind) String() string {
	if n, ok := kindNames[k]; ok {
		return n
	}
	return "unknown accusation"
}

// Evidence is one accusation as a file: what the accused signed, the session
// certificates to check it by, and the accuser's signature over all. Whoever has the
// pinned identity keys can judge it, without a network and without trusting anybody.
type Evidence struct {
	Kind     Kind
	Cluster  identity.ClusterID
	Lineage  [32]byte
	Accused  identity.RegionID
	Noticed  time.Time
	First    []byte // encoded exhibits, as the kind says
	Second   []byte // may be empty
	Sessions []*identity.SessionCert
	Accuser  Signature
}

func (e *Evidence) body(w *wire.Writer) {
	w.U8(uint8(e.Kind))
	w.Fixed(e.Cluster[:])
	w.Fixed(e.Lineage[:])
	w.U8(uint8(e.Accused))
	w.Time(e.Noticed)
	w.Blob(e.First)
	w.Blob(e.Second)
	w.U8(uint8(len(e.Sessions)))
	for _, c := range e.Sessions {
		w.Blob(c.Encode())
	}
}

// Accuse signs e as its accuser. Session certificates are put in order.
func Accuse(s *Signer, e Evidence) (*Evidence, error) {
	if len(e.First) > maxExhibit || len(e.Second) > maxExhibit || len(e.Sessions) > maxSessions {
		return nil, errs.New(errs.TooLarge, "evidence against region %d has exhibits of %d and %d bytes", e.Accused, len(e.First), len(e.Second))
	}
	e.Noticed = e.Noticed.Truncate(time.Millisecond).UTC()
	e.Sessions = slices.Clone(e.Sessions)
	slices.SortFunc(e.Sessions, compareSessions)
	e.Sessions = slices.CompactFunc(e.Sessions, func(a, b *identity.SessionCert) bool { return compareSessions(a, b) == 0 })
	var err error
	e.Accuser, err = s.sign(domainEvidence, e.body)
	return &e, err
}

func compareSessions(a, b *identity.SessionCert) int { return bytes.Compare(a.Encode(), b.Encode()) }

// AccusedServers returns the incarnations of the accused whose sessions the file has, ascending:
// a claim until the file is judged.
func (e *Evidence) AccusedServers() (out []string) {
	for _, c := range e.Sessions {
		if c.Region == e.Accused && !slices.Contains(out, c.ServerID) {
			out = append(out, c.ServerID)
		}
	}
	slices.Sort(out)
	return out
}

// Encode returns the canonical form.
func (e *Evidence) Encode() []byte {
	return encode(1024+len(e.First)+len(e.Second), func(w *wire.Writer) { e.body(w); e.Accuser.write(w) })
}

// DecodeEvidence parses the canonical form. It proves nothing yet: see Convict.
func DecodeEvidence(b []byte) (*Evidence, error) {
	return decode(b, maxEvidence, "evidence", func(r *wire.Reader) (e Evidence) {
		e.Kind = Kind(r.U8())
		if _, ok := kindNames[e.Kind]; !ok {
			r.Fail("evidence of kind %d", e.Kind)
		}
		r.Fixed(e.Cluster[:])
		r.Fixed(e.Lineage[:])
		e.Accused = identity.RegionID(r.U8())
		e.Noticed = r.Time()
		e.First = bytes.Clone(r.Blob(maxExhibit))
		e.Second = bytes.Clone(r.Blob(maxExhibit))
		n := int(r.U8())
		if n > maxSessions {
			r.Fail("%d session certificates, limit %d", n, maxSessions)
			n = 0
		}
		for range n {
			e.Sessions = append(e.Sessions, readSession(r, e.Sessions))
		}
		e.Accuser = readSignature(r)
		return e
	})
}

func readSession(r *wire.Reader, before []*identity.SessionCert) *identity.SessionCert {
	c, err := identity.DecodeSessionCert(r.Blob(maxSessionCert))
	if err != nil {
		r.Fail("%s", err)
		return &identity.SessionCert{}
	}
	if n := len(before); n > 0 && compareSessions(before[n-1], c) >= 0 {
		r.Fail("session certificates are not in order")
	}
	return c
}

// Refused is the exhibit of an entry that was not admitted.
type Refused struct {
	Header Header
	Sig    Signature // of the leader, over the header's tuple
	Code   errs.Code // why the accuser refused it
	Data   []byte    // the entry's bytes, sealed; empty if the header says it all
}

// Encode returns the canonical form.
func (x *Refused) Encode() []byte {
	return encode(headerSize+signatureSize+8+len(x.Data), func(w *wire.Writer) {
		x.Header.write(w)
		x.Sig.write(w)
		w.U16(uint16(x.Code))
		w.Blob(x.Data)
	})
}

// DecodeRefused parses the canonical form.
func DecodeRefused(b []byte) (*Refused, error) {
	return decode(b, maxExhibit, "refused entry", func(r *wire.Reader) Refused {
		return Refused{readHeader(r), readSignature(r), errs.Code(r.U16()), bytes.Clone(r.Blob(maxExhibit))}
	})
}
