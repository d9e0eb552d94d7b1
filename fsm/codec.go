package fsm

import (
	"bytes"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// The canonical form of every row: what snapshots hold and the digest covers.

func writeMeta(w *wire.Writer, m command.Meta) {
	w.U64(m.Index)
	w.U64(m.Term)
	w.Fixed(m.Chain[:])
}

func readMeta(r *wire.Reader) (m command.Meta) {
	m.Index = r.U64()
	m.Term = r.U64()
	r.Fixed(m.Chain[:])
	return m
}

func readFingerprint(r *wire.Reader) (f identity.Fingerprint) { r.Fixed(f[:]); return f }

func readHash(r *wire.Reader) (h [32]byte) { r.Fixed(h[:]); return h }

func writeRegions(w *wire.Writer, ids []identity.RegionID) {
	w.U8(uint8(len(ids)))
	for _, id := range ids {
		w.U8(uint8(id))
	}
}

func readRegions(r *wire.Reader) (ids []identity.RegionID) {
	for range r.Few(command.MaxRegions) {
		ids = append(ids, identity.RegionID(r.U8()))
	}
	return ids
}

func clone(r *wire.Reader, limit int) []byte { return bytes.Clone(r.Blob(limit)) }

func (g *Region) encode() []byte {
	w := wire.NewWriter(1024)
	w.U8(uint8(g.ID))
	w.String(g.Name)
	w.String(g.ServerID)
	g.Identity.Write(w)
	w.Blob(g.Wrapping)
	w.U8(g.OAEPHash)
	w.String(g.RaftAddr)
	w.String(g.APIAddr)
	w.String(g.GossipAddr)
	w.String(g.HSM)
	w.U8(uint8(len(g.Curves)))
	for _, c := range g.Curves {
		w.U8(uint8(c))
	}
	w.U8(uint8(g.Status))
	w.Bool(g.Healthy)
	w.U64(g.Since)
	w.U8(uint8(len(g.Sessions)))
	for i := range g.Sessions {
		w.Blob(g.Sessions[i].Encode())
	}
	if g.Level != 0 || len(g.Former) > 0 { // rows of the first release are what they were
		w.U32(g.Level)
	}
	if len(g.Former) > 0 {
		w.Extra(extraFormer, g.writeFormer)
	}
	return w.Bytes()
}

func decodeRegion(b []byte) (*Region, error) {
	r := wire.NewReader(b)
	g := &Region{ID: identity.RegionID(r.U8()), Name: r.String(command.MaxName), ServerID: r.String(maxServerID)}
	g.Identity = identity.ReadPublicKey(r)
	g.Wrapping = clone(r, maxWrapping)
	g.OAEPHash = r.U8()
	g.RaftAddr, g.APIAddr, g.GossipAddr = r.String(maxAddress), r.String(maxAddress), r.String(maxAddress)
	g.HSM = r.String(maxShort)
	for range r.Few(16) {
		g.Curves = append(g.Curves, command.Curve(r.U8()))
	}
	g.Status = RegionStatus(r.U8())
	g.Healthy = r.Bool()
	g.Since = r.U64()
	for range r.Few(MaxSessions) {
		raw := r.Blob(4096)
		if r.Err() != nil {
			break
		}
		c, err := identity.DecodeSessionCert(raw)
		if err != nil {
			return nil, err
		}
		g.Sessions = append(g.Sessions, *c)
	}
	if r.More() {
		if g.Level = r.U32(); g.Level == 0 && !r.More() {
			r.Fail("level of region %d: there, but zero", g.ID)
		}
	}
	g.readExtras(r)
	return g, r.Done()
}

func (t *tenant) encode() []byte { return []byte(t.name) }

func decodeTenant(b []byte) (*tenant, error) {
	return &tenant{string(b)}, command.CheckName("tenant", string(b))
}

func (p *Principal) encode() []byte {
	w := wire.NewWriter(160)
	p.Key.Write(w)
	w.String(p.Name)
	w.String(p.Tenant)
	w.U8(uint8(p.Roles))
	w.Bool(p.Removed)
	return w.Bytes()
}

func decodePrincipal(b []byte) (*Principal, error) {
	r := wire.NewReader(b)
	p := &Principal{Key: identity.ReadPublicKey(r)}
	p.ID = p.Key.Fingerprint()
	p.Name = r.String(command.MaxName)
	p.Tenant = r.String(command.MaxName)
	p.Roles = command.Role(r.U8())
	p.Removed = r.Bool()
	return p, r.Done()
}

func (k *Key) encode() []byte {
	w := wire.NewWriter(1024)
	w.Fixed(k.ID[:])
	w.String(k.Name)
	w.String(k.Tenant)
	w.U8(uint8(k.Scheme))
	w.U8(uint8(k.Curve))
	w.U8(k.Signers)
	w.Bool(k.AllowBlind)
	w.String(k.Note)
	w.U8(uint8(k.State))
	w.U32(k.Version)
	w.U64(k.Created)
	w.Time(k.Stamp)
	writeRegions(w, k.Regions)
	w.U8(uint8(len(k.Attestations)))
	for i := range k.Attestations {
		k.Attestations[i].write(w)
		w.Bool(k.Attestations[i].Confirmed)
	}
	w.Fixed(k.Author[:])
	w.Fixed(k.FrozenBy[:])
	w.String(k.Reason)
	if k.Scheme.Shared() {
		k.writeThreshold(w)
	}
	k.writeExtras(w)
	return w.Bytes()
}

func (a *Attestation) write(w *wire.Writer) {
	w.U8(uint8(a.Region))
	w.Blob(a.PublicKey)
	w.Blob(a.Possession)
	w.Blob(a.Attributes)
	w.Blob(a.Identity)
}

func decodeKey(b []byte) (*Key, error) {
	r, k := wire.NewReader(b), &Key{}
	r.Fixed(k.ID[:])
	k.Name = r.String(command.MaxName)
	k.Tenant = r.String(command.MaxName)
	k.Scheme = command.Scheme(r.U8())
	k.Curve = command.Curve(r.U8())
	k.Signers = r.U8()
	k.AllowBlind = r.Bool()
	k.Note = r.String(command.MaxNote)
	k.State = KeyState(r.U8())
	k.Version = r.U32()
	k.Created = r.U64()
	k.Stamp = r.Time()
	k.Regions = readRegions(r)
	for range r.Few(command.MaxRegions) {
		a := Attestation{Region: identity.RegionID(r.U8()), PublicKey: clone(r, maxPublicKey),
			Possession: clone(r, command.MaxSignatureLen), Attributes: clone(r, 1024),
			Identity: clone(r, command.MaxSignatureLen)}
		a.Confirmed = r.Bool()
		k.Attestations = append(k.Attestations, a)
	}
	k.Author = readFingerprint(r)
	k.FrozenBy = readFingerprint(r)
	k.Reason = r.String(command.MaxNote)
	if k.Scheme.Shared() {
		k.readThreshold(r)
	}
	k.readExtras(r)
	return k, r.Done()
}

func (q *Request) encode() []byte {
	n := 200 + len(q.Tenant) + len(q.Note) + len(q.Payload) + 64*len(q.Attempts)
	for i := range q.Results {
		n += 5 + 76*len(q.Results[i].Signatures)
	}
	w := wire.NewWriter(n)
	w.Fixed(q.ID[:])
	w.Fixed(q.Command[:])
	w.Fixed(q.Hash[:])
	w.Fixed(q.Author[:])
	w.String(q.Tenant)
	w.Fixed(q.Key[:])
	w.U32(q.KeyVersion)
	w.U8(uint8(q.Kind))
	w.U8(uint8(q.HashAlg))
	w.Blob(q.Payload)
	w.String(q.Note)
	w.Time(q.Expiry)
	w.U8(uint8(q.State) | uint8(q.Charge)<<chargeShift)
	w.U8(uint8(len(q.Attempts)))
	for i := range q.Attempts {
		a := &q.Attempts[i]
		w.U8(a.Number)
		writeMeta(w, a.Meta)
		w.Time(a.Stamp)
		writeRegions(w, a.Eligible)
	}
	w.U8(uint8(len(q.Results)))
	for i := range q.Results {
		w.U8(uint8(q.Results[i].Region))
		w.U32(uint32(len(q.Results[i].Signatures)))
		for _, s := range q.Results[i].Signatures {
			w.Blob(s)
		}
	}
	w.Fixed(q.Value[:])
	w.U64(q.Opened)
	w.U64(q.Closed)
	w.U64(q.Leaf)
	if q.threshold() {
		q.writeThreshold(w)
	}
	return w.Bytes()
}

func decodeRequest(b []byte) (*Request, error) {
	r, q := wire.NewReader(b), &Request{}
	r.Fixed(q.ID[:])
	r.Fixed(q.Command[:])
	r.Fixed(q.Hash[:])
	q.Author = readFingerprint(r)
	q.Tenant = r.String(command.MaxName)
	r.Fixed(q.Key[:])
	q.KeyVersion = r.U32()
	q.Kind = command.Kind(r.U8())
	q.HashAlg = command.Hash(r.U8())
	q.Payload = clone(r, command.MaxPayload)
	q.Note = r.String(command.MaxNote)
	q.Expiry = r.Time()
	q.readState(r)
	for range r.Few(MaxAttempts) {
		a := Attempt{Number: r.U8(), Meta: readMeta(r), Stamp: r.Time(), Eligible: readRegions(r)}
		q.Attempts = append(q.Attempts, a)
	}
	for range r.Few(command.MaxRegions) {
		s := SignatureSet{Region: identity.RegionID(r.U8())}
		for range r.Count(command.MaxMessages) {
			if r.Err() != nil {
				break
			}
			s.Signatures = append(s.Signatures, clone(r, command.MaxSignatureLen))
		}
		q.Results = append(q.Results, s)
	}
	q.Value = readHash(r)
	q.Opened, q.Closed, q.Leaf = r.U64(), r.U64(), r.U64()
	if rest := r.Rest(); len(rest) > 0 {
		return q, q.readThreshold(rest)
	}
	return q, r.Done()
}

// settle returns the final form of q, whose payload is dropped.
func settle(q *Request) *settled {
	q.Payload = nil
	return &settled{id: q.ID, blob: q.encode()}
}

func (s *settled) request() *Request {
	q, err := decodeRequest(s.blob)
	if err != nil {
		panic(err) // encoded here, or checked by Restore
	}
	return q
}

// remembered is an outcome as kept for a repeated id. Its text is not: wording may
// change between versions, the state may not.
type remembered struct {
	hash  [32]byte // of the command's content
	code  errs.Code
	index uint64
	key   command.KeyID
	next  uint32 // index after the last address given out, 0 for other commands
}

func (m *memo) encode() []byte {
	w := wire.NewWriter(96)
	w.Fixed(m.slot[:])
	w.Fixed(m.outcome.hash[:])
	w.U16(uint16(m.outcome.code))
	w.U64(m.outcome.index)
	w.Fixed(m.outcome.key[:])
	if m.outcome.next != 0 { // rows of other commands are what they were
		w.U32(m.outcome.next)
	}
	return w.Bytes()
}

func decodeMemo(b []byte) (*memo, error) {
	r, m := wire.NewReader(b), &memo{}
	r.Fixed(m.slot[:])
	r.Fixed(m.outcome.hash[:])
	m.outcome.code = errs.Code(r.U16())
	m.outcome.index = r.U64()
	r.Fixed(m.outcome.key[:])
	if r.More() {
		if m.outcome.next = r.U32(); m.outcome.next == 0 {
			r.Fail("addresses given out, but none")
		}
	}
	return m, r.Done()
}

func (b *bucket) encode() []byte {
	w := wire.NewWriter(20 + 16*len(b.slots))
	w.Fixed(b.raw[:])
	w.U32(uint32(len(b.slots)))
	for i := range b.slots {
		w.Fixed(b.slots[i][:])
	}
	return w.Bytes()
}

func decodeBucket(b []byte) (*bucket, error) {
	r := wire.NewReader(b)
	k := readBucketKey(r)
	var slots []command.RequestID
	for range r.Count(command.MaxCommands) {
		var s command.RequestID
		r.Fixed(s[:])
		slots = append(slots, s)
	}
	return newBucket(k, slots), r.Done()
}

func readBucketKey(r *wire.Reader) bucketKey { return bucketKey{r.U64(), r.U64()} }

// head is the part of the state that is no table.
type head struct {
	meta     command.Meta // last applied
	clock    time.Time
	settings command.Settings
	frozen   *freeze
	expired  bucketKey // buckets up to here have no open request left
	pruned   bucketKey // buckets up to here are gone
	frontier audit.Frontier
	control  *control  // a record of its own; nil while there is nothing to say
	rollout  *rollout  // likewise: the refresh of all keys that is going on
	schedule *schedule // likewise: of Settings.RefreshEvery
	level    uint32    // likewise; see level.go

	// Counted, not stored.
	tenants, principals, keys, open, settled, memos, buckets, wraps, pools uint64

	admins     int
	ceremonies int    // running
	newest     uint32 // wrapping epoch; 0 before the first
}

type freeze struct {
	reason string
	by     identity.Fingerprint
}

func (h *head) encode() []byte {
	w := wire.NewWriter(512)
	writeMeta(w, h.meta)
	w.Time(h.clock)
	w.U64(uint64(h.settings.MaxSkew.Milliseconds()))
	w.U64(uint64(h.settings.RequestMaxAge.Milliseconds()))
	w.U32(h.settings.MaxOpen)
	w.Bool(h.frozen != nil)
	if h.frozen != nil {
		w.String(h.frozen.reason)
		w.Fixed(h.frozen.by[:])
	}
	for _, k := range []bucketKey{h.expired, h.pruned} {
		w.U64(k.second)
		w.U64(k.index)
	}
	w.Blob(h.frontier.Encode())
	h.writeLater(w)
	return w.Bytes()
}

// writeLater writes the settings that not every vault has, to the last that is not zero:
// heads without are what they were.
func (h *head) writeLater(w *wire.Writer) {
	s := h.settings
	scheduled := s.RefreshEvery != 0 || s.Import
	if scheduled || s.EscrowDelay != 0 {
		w.U64(millis(s.EscrowDelay))
	}
	if scheduled {
		w.U64(millis(s.RefreshEvery))
	}
	if s.Import {
		w.Bool(true)
	}
}

func (h *head) readLater(b []byte) error {
	r, s := wire.NewReader(b), &h.settings
	s.EscrowDelay = readMillis(r)
	empty := s.EscrowDelay == 0
	if r.More() {
		s.RefreshEvery = readMillis(r)
		empty = s.RefreshEvery == 0
	}
	if r.More() {
		s.Import = r.Bool()
		empty = !s.Import
	}
	if empty {
		r.Fail("the last setting is there, but zero")
	}
	return r.Done()
}

func decodeHead(b []byte) (*head, error) {
	r := wire.NewReader(b)
	h := &head{meta: readMeta(r), clock: r.Time()}
	h.settings.MaxSkew = readMillis(r)
	h.settings.RequestMaxAge = readMillis(r)
	h.settings.MaxOpen = r.U32()
	if r.Bool() {
		h.frozen = &freeze{reason: r.String(command.MaxNote)}
		h.frozen.by = readFingerprint(r)
	}
	h.expired, h.pruned = readBucketKey(r), readBucketKey(r)
	raw := r.Blob(4096)
	if rest := r.Rest(); len(rest) > 0 {
		if err := h.readLater(rest); err != nil {
			return nil, err
		}
	}
	if err := r.Done(); err != nil {
		return nil, err
	}
	f, err := audit.DecodeFrontier(raw)
	if err != nil {
		return nil, err
	}
	h.frontier = f
	return h, h.settings.Check()
}

func readMillis(r *wire.Reader) time.Duration {
	ms := r.U64()
	if ms > uint64(365*24*time.Hour/time.Millisecond) {
		r.Fail("a duration of %d ms, limit one year", ms)
		return 0
	}
	return time.Duration(ms) * time.Millisecond
}
