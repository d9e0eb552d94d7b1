package chain

import (
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Cover proves that one entry is certified: by a certificate of its own, or of a later
// entry together with the headers that lead there. An entry of an older term never has
// one of its own: only entries of the current term are acked.
type Cover struct {
	Certificate Certificate
	Path        []Header // of the entries after the covered one, up to the certified
	// Sessions are of signers that whoever reads the log may not know: a region that just
	// started acks before the log has its session. They prove themselves.
	Sessions []*identity.SessionCert
}

// Verify checks that the entry at place at is covered.
func (c *Cover) Verify(r Roster, lineage [32]byte, at Link) error {
	if at.Index == 0 || len(c.Path) > maxCover {
		return errs.New(errs.Invalid, "cover of index %d with %d headers, limit %d", at.Index, len(c.Path), maxCover)
	}
	end := at
	for i := range c.Path {
		h := &c.Path[i]
		if h.Prev != end.Hash || h.Index != end.Index+1 || h.Term < end.Term {
			return errs.New(errs.Unverified, "cover of index %d: the header of index %d does not follow", at.Index, h.Index)
		}
		end = h.Link()
	}
	if end != c.Certificate.Link {
		return errs.New(errs.Unverified, "cover of index %d does not lead to the certified index %d", at.Index, c.Certificate.Index)
	}
	return c.Certificate.Verify(r, lineage)
}

// Introduce puts session certificates along with the cover, in order.
func (c *Cover) Introduce(certs []*identity.SessionCert) {
	c.Sessions = slices.Clone(certs)
	slices.SortFunc(c.Sessions, compareSessions)
	c.Sessions = slices.CompactFunc(c.Sessions, func(a, b *identity.SessionCert) bool { return compareSessions(a, b) == 0 })
	c.Sessions = c.Sessions[:min(len(c.Sessions), maxIntroduced)]
}

// Encode returns the canonical form.
func (c *Cover) Encode() []byte {
	cert := c.Certificate.Encode()
	return encode(8+len(cert)+len(c.Path)*headerSize, func(w *wire.Writer) {
		w.Blob(cert)
		w.U16(uint16(len(c.Path)))
		for i := range c.Path {
			c.Path[i].write(w)
		}
		w.U8(uint8(len(c.Sessions)))
		for _, s := range c.Sessions {
			w.Blob(s.Encode())
		}
	})
}

// DecodeCover parses the canonical form.
func DecodeCover(b []byte) (*Cover, error) {
	return decode(b, MaxCover, "cover", func(r *wire.Reader) (c Cover) {
		cert, err := DecodeCertificate(r.Blob(maxQuorumBytes))
		if err != nil {
			r.Fail("%s", err)
			return c
		}
		c.Certificate = *cert
		n := int(r.U16())
		if n > maxCover {
			r.Fail("%d headers, limit %d", n, maxCover)
			return c
		}
		for i := 0; i < n && r.Err() == nil; i++ {
			c.Path = append(c.Path, readHeader(r))
		}
		m := int(r.U8())
		if m > maxIntroduced {
			r.Fail("%d session certificates, limit %d", m, maxIntroduced)
		}
		for i := 0; i < min(m, maxIntroduced) && r.Err() == nil; i++ {
			c.Sessions = append(c.Sessions, readSession(r, c.Sessions))
		}
		return c
	})
}
