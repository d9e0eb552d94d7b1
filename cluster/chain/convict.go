package chain

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Court is what judges need besides the file: who the regions are.
type Court struct {
	Cluster identity.ClusterID
	Lineage [32]byte
	Pins    identity.Pins // identity keys, of replaced regions too
	Regions int

	// Present are the identity keys that speak for regions now; nil: all of Pins.
	Present identity.Pins
}

// Finding is what a file of evidence shows.
type Finding struct {
	Kind        Kind
	Accused     identity.RegionID
	Accuser     identity.RegionID
	Term, Index uint64
	// Servers are the incarnations under whose sessions the accused signed what is shown,
	// ascending. One server that replaced another answers for what it signed itself.
	Servers []string
	// Replaced: an identity key that the accused no longer has vouches for some of it. Who has
	// that key's HSM now names whatever server it likes, and signs what it likes: the region
	// does not answer for it.
	Replaced bool
	// Convicts: the accused's own signatures contradict each other or the format, so no
	// honest region can have made them. Otherwise the file is an accusation that the
	// accused's signatures support and that people must judge.
	Convicts bool
	Text     string
}

// Conviction returns the finding in the form ResolveEquivocation takes: only rivals
// signed as leader or candidate of a term.
func (f *Finding) Conviction() (Conviction, bool) {
	ok := f.Convicts && (f.Kind == RivalEntries || f.Kind == RivalVotes)
	return Conviction{f.Accused, f.Term}, ok
}

// Convict judges evidence offline. An error means that the file shows nothing: altered,
// of another cluster, or against a region that signed none of it. Nobody is convicted
// on another region's word: only what the accused signed itself counts.
func Convict(c Court, e *Evidence) (*Finding, error) {
	if e.Cluster != c.Cluster || e.Lineage != c.Lineage {
		return nil, errs.New(errs.Unverified, "evidence is of another cluster or lineage")
	}
	book := NewBook(c.Cluster, c.Pins, c.Regions)
	for _, s := range e.Sessions {
		if err := book.Add(s); err != nil {
			return nil, err
		}
	}
	if e.Accused == 0 || e.Accuser.Region == e.Accused {
		return nil, errs.New(errs.Unverified, "evidence of region %d against region %d", e.Accuser.Region, e.Accused)
	}
	if err := verify(book, domainEvidence, &e.Accuser, e.body); err != nil {
		return nil, err
	}
	f := &Finding{Kind: e.Kind, Accused: e.Accused, Accuser: e.Accuser.Region}
	book.Speaking(c.Present)
	j := judge{e, book, f}
	err := j.judge()
	if f.Replaced {
		f.Text += ", under an identity key that the region no longer has"
	}
	return f, err
}

type judge struct {
	*Evidence
	book *Book
	*Finding
}

func (j *judge) judge() error {
	switch j.Evidence.Kind {
	case RivalEntries:
		return j.rivalEntries()
	case RivalAckPair:
		return j.rivalAcks()
	case RivalVotes:
		return j.rivalVotes()
	case RefusedEntry:
		return j.refusedEntry()
	case UnprovenSnapshot:
		return j.unprovenSnapshot()
	case FalseTimeout:
		return j.falseTimeout()
	case StaleCertificate:
		return j.staleCertificate()
	}
	return errs.New(errs.Malformed, "evidence of kind %d", j.Evidence.Kind)
}

func (j *judge) unproven(format string, args ...any) error {
	return errs.New(errs.Unverified, "evidence of %s against region %d: %s", j.Evidence.Kind, j.Evidence.Accused, fmt.Sprintf(format, args...))
}

// by checks that the accused signed it, for this lineage.
func (j *judge) by(s *Signature, lineage [32]byte, err error) error {
	if s.Region != j.Evidence.Accused {
		return j.unproven("signed by region %d", s.Region)
	}
	j.signedAs(s.Session)
	if lineage != j.Lineage {
		return j.unproven("of another lineage")
	}
	return err
}

// signedAs notes the incarnation a session of the accused belongs to.
func (j *judge) signedAs(session identity.Fingerprint) {
	for _, c := range j.Sessions {
		if c.Region != j.Evidence.Accused || c.Session.Fingerprint() != session {
			continue
		}
		j.Finding.Replaced = j.Finding.Replaced || !j.book.speaks(c)
		if !slices.Contains(j.Finding.Servers, c.ServerID) {
			j.Finding.Servers = append(j.Finding.Servers, c.ServerID)
		}
	}
	slices.Sort(j.Finding.Servers)
}

// pair decodes both exhibits, which must differ.
func pair[T any](j *judge, decode func([]byte) (*T, error)) (a, b *T, err error) {
	if bytes.Equal(j.First, j.Second) {
		return nil, nil, j.unproven("one thing shown twice")
	}
	if a, err = decode(j.First); err == nil {
		b, err = decode(j.Second)
	}
	return a, b, err
}

// rivals records two different hashes for one place.
func (j *judge) rivals(a, b Tuple) error {
	if a.Term != b.Term || a.Index != b.Index || a.Hash == b.Hash {
		return j.unproven("the entries do not rival each other")
	}
	j.Term, j.Index, j.Convicts = a.Term, a.Index, true
	j.Text = fmt.Sprintf("signed two entries for term %d index %d", a.Term, a.Index)
	return nil
}

func (j *judge) rivalEntries() error {
	a, b, err := pair(j, DecodeEntrySignature)
	if err != nil {
		return err
	}
	for _, x := range []*EntrySignature{a, b} {
		if err := j.by(&x.Signature, x.Lineage, x.Verify(j.book)); err != nil {
			return err
		}
	}
	return j.rivals(a.Tuple, b.Tuple)
}

func (j *judge) rivalAcks() error {
	a, b, err := pair(j, DecodeAck)
	if err != nil {
		return err
	}
	for _, x := range []*Ack{a, b} {
		if err := j.by(&x.Signature, x.Lineage, x.Verify(j.book)); err != nil {
			return err
		}
	}
	return j.rivals(a.Tuple, b.Tuple)
}

func (j *judge) rivalVotes() error {
	a, b, err := pair(j, DecodeVote)
	if err != nil {
		return err
	}
	for _, x := range []*Vote{a, b} {
		if err := j.by(&x.Signature, x.Lineage, x.Verify(j.book)); err != nil {
			return err
		}
	}
	twice := a.Granted && b.Granted && a.Candidate != b.Candidate
	if a.Term != b.Term || !twice && a.Last == b.Last {
		return j.unproven("the votes do not rival each other")
	}
	j.Term, j.Index, j.Convicts = a.Term, max(a.Last.Index, b.Last.Index), true
	j.Text = fmt.Sprintf("reported two logs or voted twice in term %d", a.Term)
	return nil
}

// refusedEntry convicts only for what the signed header itself shows. What the bytes
// hold needs the root keyring, and a stamp needs a clock: an accusation.
func (j *judge) refusedEntry() error {
	x, err := DecodeRefused(j.First)
	if err != nil {
		return err
	}
	sig := EntrySignature{Tuple{j.Lineage, x.Header.Link()}, x.Sig}
	if err := j.by(&sig.Signature, sig.Lineage, sig.Verify(j.book)); err != nil {
		return err
	}
	empty := sha256.Sum256(nil)
	if len(x.Data) > 0 && sha256.Sum256(x.Data) != x.Header.Data {
		return j.unproven("the bytes are not those that were signed")
	}
	j.Term, j.Index = x.Header.Term, x.Header.Index
	needless := (x.Header.Type == TypeNoop || x.Header.Type == TypeBarrier) && x.Header.Data != empty
	needed := (x.Header.Type == TypeCommand || x.Header.Type == TypeConfiguration) && x.Header.Data == empty
	j.Convicts = !KnownType(x.Header.Type) || needless || needed || x.Header.Index == 0 || x.Header.Term == 0
	j.Text = fmt.Sprintf("signed entry %d of term %d, refused as %s", j.Index, j.Term, x.Code)
	return nil
}

// unprovenSnapshot convicts if what was sent along is no proof, judged by the sessions
// in the file. A signer whose session is not in the file cannot be judged: leaving one
// out must not make a good proof look bad.
func (j *judge) unprovenSnapshot() error {
	o, err := DecodeOffer(j.First)
	if err != nil {
		return err
	}
	if err := j.by(&o.Signature, o.Lineage, o.Verify(j.book, j.Second)); err != nil {
		return err
	}
	j.Term, j.Index = o.Term, o.Index
	p, err := DecodeSnapshotProof(j.Second)
	if err == nil {
		for i := range p.Signatures {
			if _, ok := j.book.Holder(p.Signatures[i].Region, p.Signatures[i].Session); !ok {
				return j.unproven("the session of region %d is not in the file", p.Signatures[i].Region)
			}
		}
		if err = p.Verify(j.book, j.Lineage); err == nil && p.Tuple == o.Tuple {
			return j.unproven("the snapshot was properly attested")
		}
	}
	j.Convicts = true
	j.Text = fmt.Sprintf("offered a snapshot of index %d that no quorum attested", o.Index)
	return nil
}

// falseTimeout never convicts: a slow disk makes an ack late and the silence true.
func (j *judge) falseTimeout() error {
	p, err := DecodePreVote(j.First)
	if err != nil {
		return err
	}
	a, err := DecodeAck(j.Second)
	if err != nil {
		return err
	}
	if err := j.by(&p.Signature, p.Lineage, p.Verify(j.book)); err != nil {
		return err
	}
	if err := j.by(&a.Signature, a.Lineage, a.Verify(j.book)); err != nil {
		return err
	}
	silent := p.At.Sub(a.At)
	if p.Session != a.Session || p.Cause != Silence || a.Term >= p.Term || silent < 0 {
		return j.unproven("the ack does not speak against the pre-vote")
	}
	j.Term, j.Index = a.Term, a.Index
	j.Text = fmt.Sprintf("asked for term %d for want of a leader %s after it acked index %d of term %d", p.Term, silent.Round(time.Millisecond), a.Index, a.Term)
	return nil
}

func (j *judge) staleCertificate() error {
	a, b, err := pair(j, DecodeClaim)
	if err != nil {
		return err
	}
	for _, x := range []*Claim{a, b} {
		if err := j.by(&x.Signature, x.Lineage, x.Verify(j.book)); err != nil {
			return err
		}
	}
	if a.Session != b.Session || !a.At.Before(b.At) || a.Index <= b.Index {
		return j.unproven("the second claim does not fall behind the first")
	}
	j.Term, j.Index, j.Convicts = b.Term, b.Index, true
	j.Text = fmt.Sprintf("claimed index %d as certified, and later index %d as the newest", a.Index, b.Index)
	return nil
}
