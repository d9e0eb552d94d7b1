package genesis

import (
	"bytes"
	"crypto/sha256"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Format is the only genesis format so far.
const Format = 1

// Encode returns the document's canonical form.
func (d *Document) Encode() []byte {
	w := wire.NewWriter(8 << 10)
	w.U8(Format)
	w.Fixed(d.Cluster[:])
	w.String(d.Name)
	w.Time(d.Created)
	w.U8(uint8(len(d.Regions)))
	for i := range d.Regions {
		d.Regions[i].write(w)
	}
	w.U8(uint8(len(d.Administrators)))
	for _, a := range d.Administrators {
		w.String(a.Name)
		a.Key.Write(w)
		w.U8(uint8(a.Roles))
	}
	w.U8(d.Officers.Threshold)
	w.U8(uint8(len(d.Officers.Recipients)))
	for _, r := range d.Officers.Recipients {
		w.String(r)
	}
	w.U64(uint64(d.Settings.MaxSkew.Milliseconds()))
	w.U64(uint64(d.Settings.RequestMaxAge.Milliseconds()))
	w.U32(d.Settings.MaxOpen)
	d.Beacon.write(w)
	w.Fixed(d.RootCheck[:])
	w.U8(uint8(len(d.Contributions)))
	for i := range d.Contributions {
		w.Fixed(d.Contributions[i][:])
	}
	return w.Bytes()
}

func (g *Region) write(w *wire.Writer) {
	w.U8(uint8(g.ID))
	w.String(g.Name)
	w.String(g.ServerID)
	g.Identity.Write(w)
	w.Blob(g.Wrapping)
	w.U8(g.OAEPHash)
	w.String(g.RaftAddr)
	w.String(g.APIAddr)
	w.String(g.GossipAddr)
	w.U8(uint8(len(g.Curves)))
	for _, c := range g.Curves {
		w.U8(uint8(c))
	}
	w.String(g.HSM)
	w.Blob(g.Attributes)
}

func (b *Beacon) write(w *wire.Writer) {
	w.U8(b.Threshold)
	w.Fixed(b.Public[:])
	w.U8(uint8(len(b.Shares)))
	for _, s := range b.Shares {
		w.Blob(s)
	}
}

// DecodeDocument parses and checks the canonical form.
func DecodeDocument(b []byte) (*Document, error) {
	if len(b) > MaxGenesis {
		return nil, errs.New(errs.TooLarge, "genesis document of %d bytes, limit %d", len(b), MaxGenesis)
	}
	r, d := wire.NewReader(b), &Document{}
	d.read(r)
	if err := r.Done(); err != nil {
		return nil, err
	}
	return d, d.Check()
}

func (d *Document) read(r *wire.Reader) {
	if v := r.U8(); v != Format {
		r.Fail("genesis format %d, this version reads %d", v, Format)
	}
	r.Fixed(d.Cluster[:])
	d.Name = r.String(command.MaxName)
	d.Created = r.Time()
	for range r.Few(Regions) {
		d.Regions = append(d.Regions, readRegion(r))
	}
	for range r.Few(MaxAdministrators) {
		a := Principal{Name: r.String(command.MaxName)}
		a.Key = identity.ReadPublicKey(r)
		a.Roles = command.Role(r.U8())
		d.Administrators = append(d.Administrators, a)
	}
	d.Officers.Threshold = r.U8()
	for range r.Few(MaxOfficers) {
		d.Officers.Recipients = append(d.Officers.Recipients, r.String(MaxRecipient))
	}
	d.Settings.MaxSkew = readMillis(r)
	d.Settings.RequestMaxAge = readMillis(r)
	d.Settings.MaxOpen = r.U32()
	d.Beacon.Threshold = r.U8()
	r.Fixed(d.Beacon.Public[:])
	for range r.Few(Regions) {
		d.Beacon.Shares = append(d.Beacon.Shares, bytes.Clone(r.Blob(32)))
	}
	r.Fixed(d.RootCheck[:])
	for range r.Few(Regions) {
		var c [32]byte
		r.Fixed(c[:])
		d.Contributions = append(d.Contributions, c)
	}
}

func readMillis(r *wire.Reader) time.Duration {
	ms := r.U64()
	if ms > uint64(365*24*time.Hour/time.Millisecond) {
		r.Fail("a duration of %d ms, limit one year", ms)
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}

func readRegion(r *wire.Reader) Region {
	g := Region{ID: identity.RegionID(r.U8()), Name: r.String(command.MaxName), ServerID: r.String(maxServerID)}
	g.Identity = identity.ReadPublicKey(r)
	g.Wrapping = bytes.Clone(r.Blob(maxWrapping))
	g.OAEPHash = r.U8()
	g.RaftAddr = r.String(maxShort)
	g.APIAddr = r.String(maxShort)
	g.GossipAddr = r.String(maxShort)
	for range r.Few(16) {
		g.Curves = append(g.Curves, command.Curve(r.U8()))
	}
	g.HSM = r.String(maxShort)
	g.Attributes = bytes.Clone(r.Blob(maxAttributes))
	return g
}

// Hash identifies the document: the first lineage, compared at each site out of band.
func (d *Document) Hash() [32]byte {
	w := wire.NewWriter(8 << 10)
	w.String("tetrad/genesis/v1")
	w.Blob(d.Encode())
	return sha256.Sum256(w.Bytes())
}

// SignedBytes returns what every founder signs: the hash, in a domain of its own.
func (d *Document) SignedBytes() []byte {
	h := d.Hash()
	w := wire.NewWriter(64)
	w.String("tetrad/genesis-signature/v1")
	w.Fixed(h[:])
	return w.Bytes()
}

// Encode returns the canonical form of the signed document.
func (g *Genesis) Encode() []byte {
	w := wire.NewWriter(10 << 10)
	w.Blob(g.Document.Encode())
	w.U8(uint8(len(g.Signatures)))
	for _, s := range g.Signatures {
		w.Fixed(s.Principal[:])
		w.Blob(s.Sig)
	}
	return w.Bytes()
}

// Decode parses the canonical form and checks the document; Verify judges the
// signatures, which may be incomplete while the ceremony collects them.
func Decode(b []byte) (*Genesis, error) {
	if len(b) > MaxGenesis {
		return nil, errs.New(errs.TooLarge, "genesis of %d bytes, limit %d", len(b), MaxGenesis)
	}
	r := wire.NewReader(b)
	raw := r.Blob(MaxGenesis)
	if r.Err() != nil {
		return nil, r.Err()
	}
	d, err := DecodeDocument(raw)
	if err != nil {
		return nil, err
	}
	g := &Genesis{Document: *d}
	for range r.Few(Regions + MaxAdministrators) {
		var s command.Signature
		r.Fixed(s.Principal[:])
		s.Sig = bytes.Clone(r.Blob(command.MaxSignatureLen))
		g.Signatures = append(g.Signatures, s)
	}
	return g, r.Done()
}
