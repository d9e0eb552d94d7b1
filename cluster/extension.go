package cluster

import (
	"bytes"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// extensionVersion is the newest form of raft.Log.Extensions this version writes.
// Version 1 ended with the proof.
const extensionVersion = 2

// Extension is what an entry carries in raft.Log.Extensions: all that a region needs to
// believe the entry, so that a log can be judged by itself, in any later boot. It is
// not covered by the chain hash: each part proves itself.
type Extension struct {
	Chain       [32]byte
	Signature   *chain.Signature        // of the leader; nil in the founding entry
	Proof       *chain.LeaderProof      // in the first entry of a term
	Certificate *chain.Certificate      // of the highest entry the leader knew certified, if news
	Sessions    []*identity.SessionCert // of those who signed the proof
}

const (
	maxExtProof    = 2 << 10
	maxExtCert     = 2 << 10
	maxExtSession  = 2 << 10
	maxExtSessions = 8
	signatureSize  = 97
)

// Encode returns the canonical form.
func (e *Extension) Encode() []byte {
	w := wire.NewWriter(256)
	w.U8(extensionVersion)
	w.Fixed(e.Chain[:])
	writeOptional(w, e.Signature != nil, func() []byte { return e.Signature.Encode() })
	writeOptional(w, e.Proof != nil, func() []byte { return e.Proof.Encode() })
	writeOptional(w, e.Certificate != nil, func() []byte { return e.Certificate.Encode() })
	writeSessions(w, e.Sessions)
	return w.Bytes()
}

func writeOptional(w *wire.Writer, is bool, encode func() []byte) {
	if is {
		w.Blob(encode())
	} else {
		w.Blob(nil)
	}
}

// DecodeExtension parses the canonical form. It proves nothing yet.
func DecodeExtension(b []byte) (Extension, error) {
	r, e := wire.NewReader(b), Extension{}
	v := r.U8()
	if v == 0 || v > extensionVersion {
		r.Fail("log extension version %d", v)
	}
	r.Fixed(e.Chain[:])
	e.Signature = readOptional(r, signatureSize, chain.DecodeSignature)
	e.Proof = readOptional(r, maxExtProof, chain.DecodeLeaderProof)
	if v > 1 {
		e.Certificate = readOptional(r, maxExtCert, chain.DecodeCertificate)
		e.Sessions = readSessions(r)
	}
	return e, r.Done()
}

func readOptional[T any](r *wire.Reader, limit int, decode func([]byte) (*T, error)) *T {
	b := r.Blob(limit)
	if len(b) == 0 || r.Err() != nil {
		return nil
	}
	v, err := decode(b)
	if err != nil {
		r.Fail("%s", err)
	}
	return v
}

func writeSessions(w *wire.Writer, certs []*identity.SessionCert) {
	w.U8(uint8(len(certs)))
	for _, c := range certs {
		w.Blob(c.Encode())
	}
}

func readSessions(r *wire.Reader) (certs []*identity.SessionCert) {
	n := int(r.U8())
	if n > maxExtSessions {
		r.Fail("%d session certificates, limit %d", n, maxExtSessions)
		return nil
	}
	for i := 0; i < n && r.Err() == nil; i++ {
		b := bytes.Clone(r.Blob(maxExtSession))
		c, err := identity.DecodeSessionCert(b)
		if err != nil || !bytes.Equal(c.Encode(), b) {
			r.Fail("session certificate: %v", err)
			return nil
		}
		certs = append(certs, c)
	}
	return certs
}

// peekChain returns the chain hash of an encoded extension alone.
func peekChain(b []byte) (h [32]byte, err error) {
	r := wire.NewReader(b)
	if v := r.U8(); v == 0 || v > extensionVersion {
		r.Fail("log extension version %d", v)
	}
	r.Fixed(h[:])
	if r.Err() != nil {
		return h, errs.Wrap(errs.Malformed, r.Err(), "log extension")
	}
	return h, nil
}

// sessionsOf names the sessions whose signatures an object rests on.
func sessionsOf(p *chain.LeaderProof, j *chain.Justification, c *chain.Certificate) (out []identity.Fingerprint) {
	if p != nil {
		for i := range p.Ballots {
			out = append(out, p.Ballots[i].Session)
		}
	}
	if j != nil {
		for i := range j.PreVotes {
			out = append(out, j.PreVotes[i].Session)
		}
		if j.Handover != nil {
			out = append(out, j.Handover.Transfer.Session)
			out = append(out, sessionsOf(&j.Handover.Proof, nil, nil)...)
		}
		out = append(out, sessionsOf(j.Proof, nil, nil)...)
	}
	if c != nil {
		for i := range c.Witnesses {
			out = append(out, c.Witnesses[i].Session)
		}
	}
	return out
}
