package fsm

import (
	"bytes"
	"slices"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Escrow is one copy of a threshold key for officers (docs/design/threshold.md). Until
// NotBefore nothing leaves; then every holder files its share, encrypted to the officers.
// From the first share on it stays in the row for ever. Immutable once in a row.
type Escrow struct {
	Number    uint32 // from 1, never given twice for one key
	M         uint8
	Officers  []string
	Disaster  bool // opens without any region's HSM
	Author    identity.Fingerprint
	Reason    string
	Asked     uint64    // index
	NotBefore time.Time // by the committed clock, and by each region's own

	// Empty before the first share.
	Epoch     uint32    // of the sharing the shares are of
	Threshold uint8     // of it
	Public    []byte    // of it, frost.PublicKey
	Boxes     []Sealed  // ascending by region
	Since     time.Time // when there were enough to give the key; zero before
}

// Live reports whether the officers have enough to restore the key.
func (e *Escrow) Live() bool { return !e.Since.IsZero() }

// Box returns what a region filed, or nil.
func (e *Escrow) Box(r identity.RegionID) []byte {
	for i := range e.Boxes {
		if e.Boxes[i].Region == r {
			return e.Boxes[i].Box
		}
	}
	return nil
}

// Escrowing returns the key's escrow that still waits, for its time or for holders that
// have not filed their share and can; nil without.
func (k *Key) Escrowing() *Escrow {
	if len(k.Escrows) == 0 || k.State == KeyRetired {
		return nil
	}
	e := k.Escrows[len(k.Escrows)-1]
	if e.Epoch == 0 {
		return e
	}
	if s := k.SharingOf(e.Epoch); s != nil && slices.ContainsFunc(s.Shares, func(o Sealed) bool { return e.Box(o.Region) == nil }) {
		return e
	}
	return nil
}

// withEscrow returns a copy of the key with its last escrow replaced.
func (k *Key) withEscrow(e *Escrow) *Key {
	n := *k
	n.Escrows = append(slices.Clone(k.Escrows[:len(k.Escrows)-1]), e)
	return &n
}

// dropEscrow forgets an escrow of which nothing left. k is a copy of its own.
func (k *Key) dropEscrow() {
	if e := k.Escrowing(); e != nil && e.Epoch == 0 {
		k.Escrows = k.Escrows[: len(k.Escrows)-1 : len(k.Escrows)-1]
	}
}

// restartEscrow has the holders of the next sharing begin anew if those of the last one did
// not file enough: too few shares of one sharing are worth nothing, and no share of
// another adds to them. Where there are just enough, one that is garbage makes them worth
// nothing, and nobody can see whether one is: that escrow stays listed, since they may be
// good, and another of the same terms follows it, once. k is a copy of its own.
func (k *Key) restartEscrow() {
	e := k.Escrowing()
	switch {
	case e == nil || e.Epoch == 0 || e.Live() && !e.Thin():
	case !e.Live():
		*k = *k.withEscrow(e.anew(e.Number))
	case len(k.Escrows) < MaxEscrows && !slices.ContainsFunc(k.Escrows, func(o *Escrow) bool { return o != e && o.Asked == e.Asked }):
		k.Escrowed++
		k.Escrows = append(slices.Clone(k.Escrows), e.anew(k.Escrowed))
	}
}

// Thin reports whether one share that is garbage would leave the officers too few.
func (e *Escrow) Thin() bool { return len(e.Boxes) <= int(e.Threshold) }

// anew returns the same escrow before its first share.
func (e *Escrow) anew(number uint32) *Escrow {
	n := *e
	n.Number, n.Epoch, n.Threshold, n.Public, n.Boxes, n.Since = number, 0, 0, nil, nil, time.Time{}
	return &n
}

func (t *task) escrowKey(b *command.EscrowKey) (deed, error) {
	least := t.head.settings.EscrowDelay
	if least == 0 {
		return nil, errs.New(errs.Denied, "this vault allows no escrow of keys").
			WithHint("two administrators can allow it: vaultctl configure --escrow-delay")
	}
	k, ok := t.keys.get(b.Key)
	if !ok || k.Scheme != command.SchemeThreshold {
		return nil, errs.New(errs.NotFound, "there is no threshold key %s", b.Key)
	}
	if err := checkEscrow(b, least); err != nil {
		return nil, err
	}
	switch e := k.lastEscrow(); {
	case k.State != KeyActive && k.State != KeyFrozen:
		return nil, errs.New(errs.BadState, "key %s is %s: it has no shares to escrow", k.ID, k.State)
	case e != nil && !e.Live():
		return nil, errs.New(errs.BadState, "escrow %d of key %s is not through yet", e.Number, k.ID)
	case len(k.Escrows) >= MaxEscrows:
		return nil, errs.New(errs.TooLarge, "key %s has %d escrows, the most there may be", k.ID, len(k.Escrows)).
			WithHint("move what it holds to a new key")
	}
	return func(*Outcome) {
		n := *k
		n.Escrowed++
		n.Escrows = append(slices.Clone(k.Escrows), &Escrow{Number: n.Escrowed, M: b.M, Officers: slices.Clone(b.Officers), Disaster: b.Disaster,
			Author: t.author.id, Reason: b.Reason, Asked: t.meta.Index, NotBefore: t.head.clock.Add(b.Delay)})
		t.putKey(&n)
	}, nil
}

func (k *Key) lastEscrow() *Escrow {
	if len(k.Escrows) == 0 {
		return nil
	}
	return k.Escrows[len(k.Escrows)-1]
}

func checkEscrow(b *command.EscrowKey, least time.Duration) error {
	if err := command.CheckText("reason", b.Reason, command.MaxNote); err != nil {
		return err
	}
	n := len(b.Officers)
	if n < 2 || n > command.MaxEscrowOfficers || b.M < 2 || int(b.M) > n {
		return errs.New(errs.Invalid, "%d of %d officers, want 2 to %d of them and a quorum from 2", b.M, n, command.MaxEscrowOfficers)
	}
	for i, o := range b.Officers {
		if o == "" || command.CheckText("recipient", o, command.MaxRecipient) != nil {
			return errs.New(errs.Invalid, "the recipient of officer %d is no age recipient", i+1)
		}
		if slices.Contains(b.Officers[:i], o) {
			return errs.New(errs.Invalid, "the recipient of officer %d is given twice", i+1)
		}
	}
	if b.Delay < least || b.Delay > command.MaxEscrowDelay {
		return errs.New(errs.Invalid, "a delay of %s: this vault wants at least %s, and at most a year", b.Delay, least)
	}
	return nil
}

// cancelEscrow is a brake, too.
func (t *task) cancelEscrow(b *command.CancelEscrow) (deed, error) {
	k, err := t.brakes(b.Key, b.Reason)
	if err != nil {
		return nil, err
	}
	e := k.Escrowing()
	switch {
	case e == nil:
		return nil, errs.New(errs.BadState, "no escrow of key %s waits", k.ID)
	case e.Epoch != 0:
		return nil, errs.New(errs.BadState, "escrow %d of key %s cannot be taken back: shares are in the log", e.Number, k.ID).
			WithHint("freeze the key to stop those that are not, and refresh it: what is there of fewer than enough is then worth nothing")
	}
	return func(*Outcome) {
		n := *k
		n.dropEscrow()
		t.putKey(&n)
	}, nil
}

// escrowShare is refused wherever the share should not leave: too early, under a freeze, or
// once the vault does not allow it any more.
func (t *task) escrowShare(b *command.EscrowShare) (deed, error) {
	k, ok := t.keys.get(b.Key)
	if !ok || k.Scheme != command.SchemeThreshold {
		return nil, errs.New(errs.NotFound, "there is no threshold key %s", b.Key)
	}
	e := k.lastEscrow()
	if e == nil || e.Number != b.Number {
		return nil, errs.New(errs.BadState, "escrow %d of key %s does not wait", b.Number, k.ID)
	}
	if was := e.Box(t.region.ID); was != nil && e.Epoch == b.Epoch {
		if bytes.Equal(was, b.Box) {
			return func(*Outcome) {}, nil // said before
		}
		return nil, errs.New(errs.Replayed, "region %d filed its share of escrow %d of key %s before", t.region.ID, e.Number, k.ID)
	}
	s, err := t.escrowable(k, e, b.Epoch)
	if err != nil {
		return nil, err
	}
	if len(b.Box) == 0 {
		return nil, errs.New(errs.Invalid, "an escrowed share that is empty")
	}
	return func(*Outcome) { t.addBox(k, e, s, bytes.Clone(b.Box)) }, nil
}

// escrowable reports why the author's share may not leave now, or of which sharing it is.
func (t *task) escrowable(k *Key, e *Escrow, epoch uint32) (*Sharing, error) {
	s := k.Sharing
	if e.Epoch != 0 {
		s = k.SharingOf(e.Epoch)
	}
	switch {
	case t.head.settings.EscrowDelay == 0:
		return nil, errs.New(errs.Denied, "this vault allows no escrow of keys")
	case t.head.frozen != nil || k.State == KeyFrozen || len(k.FrozenPaths) > 0: // a share signs for every child
		return nil, errs.New(errs.Frozen, "the vault, key %s or a child of it is frozen", k.ID)
	case k.State != KeyActive:
		return nil, errs.New(errs.BadState, "key %s is %s", k.ID, k.State)
	case t.head.clock.Before(e.NotBefore):
		return nil, errs.New(errs.BadState, "escrow %d of key %s is not before %s", e.Number, k.ID, e.NotBefore.Format(time.RFC3339))
	case s == nil || s.Epoch != epoch:
		return nil, errs.New(errs.Stale, "escrow %d of key %s does not want shares of sharing %d", e.Number, k.ID, epoch)
	case s.Share(t.region.ID) == nil:
		return nil, errs.New(errs.Denied, "region %d holds no share of key %s", t.region.ID, k.ID)
	}
	return s, nil
}

func (t *task) addBox(k *Key, e *Escrow, s *Sharing, box []byte) {
	n := *e
	n.Epoch, n.Threshold, n.Public = s.Epoch, s.Threshold, s.Public
	n.Boxes = append(slices.Clone(e.Boxes), Sealed{t.region.ID, box})
	slices.SortFunc(n.Boxes, func(a, b Sealed) int { return int(a.Region) - int(b.Region) })
	if !n.Live() && len(n.Boxes) >= int(n.Threshold) {
		n.Since = t.head.clock
	}
	t.putKey(k.withEscrow(&n))
}

// Escrows returns the keys whose escrow waits, in order of id.
func (v View) Escrows() (keys []*Key) {
	scanBy(v.txn(), keyTable, "escrow", nil, func(k *Key) bool { keys = append(keys, k); return true })
	return keys
}

// writeEscrows writes nothing for keys of which none was ever asked for.
func (k *Key) writeEscrows(w *wire.Writer) {
	w.U32(k.Escrowed)
	w.U8(uint8(len(k.Escrows)))
	for _, e := range k.Escrows {
		e.write(w)
	}
}

func (k *Key) readEscrows(r *wire.Reader) {
	if k.Escrowed = r.U32(); k.Escrowed == 0 {
		r.Fail("escrows of a key for which none was asked for")
	}
	for range r.Few(MaxEscrows) {
		k.Escrows = append(k.Escrows, readEscrow(r))
	}
}

func (e *Escrow) write(w *wire.Writer) {
	w.U32(e.Number)
	w.U8(e.M)
	w.U8(uint8(len(e.Officers)))
	for _, o := range e.Officers {
		w.String(o)
	}
	w.Bool(e.Disaster)
	w.Fixed(e.Author[:])
	w.String(e.Reason)
	w.U64(e.Asked)
	w.Time(e.NotBefore)
	w.U32(e.Epoch)
	if e.Epoch == 0 {
		return
	}
	w.U8(e.Threshold)
	w.Blob(e.Public)
	w.U8(uint8(len(e.Boxes)))
	for i := range e.Boxes {
		w.U8(uint8(e.Boxes[i].Region))
		w.Blob(e.Boxes[i].Box)
	}
	w.Bool(e.Live())
	if e.Live() {
		w.Time(e.Since)
	}
}

func readEscrow(r *wire.Reader) *Escrow {
	e := &Escrow{Number: r.U32(), M: r.U8()}
	for range r.Few(command.MaxEscrowOfficers) {
		e.Officers = append(e.Officers, r.String(command.MaxRecipient))
	}
	e.Disaster, e.Author, e.Reason = r.Bool(), readFingerprint(r), r.String(command.MaxNote)
	e.Asked, e.NotBefore = r.U64(), r.Time()
	if e.Epoch = r.U32(); e.Epoch == 0 {
		return e
	}
	e.Threshold, e.Public = r.U8(), clone(r, command.MaxThresholdPK)
	for range r.Few(command.MaxRegions) {
		e.Boxes = append(e.Boxes, Sealed{identity.RegionID(r.U8()), clone(r, command.MaxEscrowBox)})
	}
	if r.Bool() {
		e.Since = r.Time()
	}
	return e
}
