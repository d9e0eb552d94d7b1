package frost

import (
	"fmt"
	"io"
	"slices"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Ceremony is one region's side of the making, refreshing or resharing of a key: a state
// machine over messages, without clock or network.
//
//	Hash    -> everybody   hash of the own dealing, before any is revealed
//	Dealing -> everybody   once all dealers' hashes are there
//	Dealt   -> each holder sealed, once all dealings are there and hold
//	Finish                 share, public key, transcript hash
//
// Every Add takes the sender as the transport authenticated it. A refused message changes
// nothing but Faults: the right one may still follow. The same message twice is fine;
// another one in its place is equivocation and names the sender. A Ceremony is not for
// concurrent use.
type Ceremony struct {
	terms        Terms
	hash         [32]byte
	region       uint8
	own          *Dealing // nil if the region does not deal
	coefficients []scalar
	hashes       map[uint8][32]byte
	dealings     map[uint8]*Dealing
	dealt        map[uint8]*Dealt
	faults       []*Fault
	done         bool
}

// Begin joins a ceremony as region. share is region's share of terms.Previous when region
// deals in a refresh or reshare, else nil; it is not kept.
func Begin(random io.Reader, terms Terms, region uint8, share *Share) (*Ceremony, error) {
	if err := terms.Check(); err != nil {
		return nil, err
	}
	terms.Session, terms.Holders, terms.Dealers = slices.Clone(terms.Session), slices.Clone(terms.Holders), slices.Clone(terms.Dealers)
	deals := slices.Contains(terms.Dealers, region)
	if !deals && !slices.Contains(terms.Holders, region) {
		return nil, errs.New(errs.Denied, "key ceremony: region %d has no part in it", region)
	}
	if (deals && terms.Previous != nil) != (share != nil) {
		return nil, errs.New(errs.Invalid, "key ceremony: region %d needs its old share exactly if it deals a new sharing of it", region)
	}
	if share != nil {
		if err := share.Matches(terms.Previous); err != nil {
			return nil, err
		}
		if share.region != region {
			return nil, errs.New(errs.Invalid, "key ceremony: share of region %d cannot be dealt by region %d", share.region, region)
		}
	}
	c := &Ceremony{terms: terms, hash: terms.Hash(), region: region,
		hashes: map[uint8][32]byte{}, dealings: map[uint8]*Dealing{}, dealt: map[uint8]*Dealt{}}
	if !deals {
		return c, nil
	}
	var err error
	if c.own, c.coefficients, err = terms.deal(random, region, share); err != nil {
		return nil, err
	}
	c.hashes[region], c.dealings[region] = c.own.Hash(), c.own
	return c, nil
}

// Hash returns what the region publishes first; false if it does not deal.
func (c *Ceremony) Hash() ([32]byte, bool) { return c.hashes[c.region], c.own != nil }

// AddHash takes the hash of from's dealing.
func (c *Ceremony) AddHash(from uint8, hash [32]byte) error {
	if !slices.Contains(c.terms.Dealers, from) {
		return c.note(blame(from, errs.Denied, "region %d does not deal in this ceremony", from))
	}
	if known, ok := c.hashes[from]; ok {
		if known != hash {
			return c.note(blame(from, errs.Unverified, "region %d published two hashes of its dealing, %x and %x", from, known, hash))
		}
		return nil
	}
	c.hashes[from] = hash
	return nil
}

// Reveal returns the own dealing, for everybody. It is NotReady until every dealer's hash
// is there, so that nobody chooses theirs after seeing another's.
func (c *Ceremony) Reveal() (*Dealing, error) {
	if c.own == nil {
		return nil, errs.New(errs.Invalid, "key ceremony: region %d does not deal", c.region)
	}
	if err := waitingFor("hashes", c.terms.Dealers, c.hashes); err != nil {
		return nil, err
	}
	return c.own, nil
}

// AddDealing takes what from revealed and verifies it.
func (c *Ceremony) AddDealing(from uint8, d *Dealing) error {
	if err := waitingFor("hashes", c.terms.Dealers, c.hashes); err != nil {
		return err
	}
	if d.region != from {
		return c.note(blame(from, errs.Denied, "region %d sent a dealing of region %d", from, d.region))
	}
	if known, ok := c.hashes[from]; ok && known != d.Hash() {
		return c.note(d.fault(errs.Unverified, "it is not the one whose hash the region published"))
	}
	if c.dealings[from] != nil { // same hash, so the same dealing
		return nil
	}
	if err := d.verify(&c.terms); err != nil {
		return c.note(err.(*Fault))
	}
	c.dealings[from] = d
	return nil
}

// Dealt returns what the region sends holder to, secret: seal it. NotReady until all
// dealings are there and hold.
func (c *Ceremony) Dealt(to uint8) (*Dealt, error) {
	if c.own == nil || !slices.Contains(c.terms.Holders, to) || c.done {
		return nil, errs.New(errs.Invalid, "key ceremony: region %d has nothing to deal to region %d", c.region, to)
	}
	if err := waitingFor("dealings", c.terms.Dealers, c.dealings); err != nil {
		return nil, err
	}
	return newDealt(c.own, c.coefficients, to), nil
}

// AddDealt takes what from dealt to this region. When it is wrong, Complain makes the
// evidence.
func (c *Ceremony) AddDealt(from uint8, d *Dealt) error {
	if err := waitingFor("dealings", c.terms.Dealers, c.dealings); err != nil {
		return err
	}
	if err := c.judgeDealt(from, d); err != nil {
		return c.note(err)
	}
	if known := c.dealt[from]; known == nil {
		c.dealt[from] = d
	}
	return nil
}

func (c *Ceremony) judgeDealt(from uint8, d *Dealt) *Fault {
	by := c.dealings[from]
	switch {
	case by == nil:
		return blame(from, errs.Denied, "region %d does not deal in this ceremony", from)
	case d.from != from:
		return blame(from, errs.Denied, "region %d sent a share dealt by region %d", from, d.from)
	case d.suite != c.terms.Suite || d.terms != c.hash:
		return blame(from, errs.Replayed, "share dealt by region %d is of another session or other terms", from)
	case d.to != c.region || !slices.Contains(c.terms.Holders, c.region):
		return blame(from, errs.Invalid, "region %d sent region %d a share for region %d", from, c.region, d.to)
	case !d.signed(by):
		return blame(from, errs.Unverified, "share dealt by region %d to region %d does not carry its signature", from, c.region)
	case !d.right(by):
		return blame(from, errs.Unverified, "region %d dealt region %d a share that does not match its commitments", from, c.region)
	}
	return nil
}

// Complain returns the evidence that d, refused by AddDealt, is wrong. It is BadState when d
// proves nothing to others: when it is right, or not signed by its dealer.
func (c *Ceremony) Complain(d *Dealt) (*Complaint, error) {
	out := &Complaint{by: c.region, dealt: d}
	verdict := c.terms.Judge(out, c.dealings[d.from])
	if d.to != c.region || !slices.Equal(verdict.Regions, []uint8{d.from}) {
		return nil, errs.New(errs.BadState, "share dealt by region %d to region %d is no evidence: %v", d.from, d.to, verdict).
			WithHint("what convicts the sender of an unsigned share is the signed message that carried it")
	}
	return out, nil
}

// Judge decides another region's complaint and records whom it convicts.
func (c *Ceremony) Judge(complaint *Complaint) *Fault {
	f := c.terms.Judge(complaint, c.dealings[complaint.dealt.from])
	return c.note(f).(*Fault)
}

// Result is what a finished ceremony leaves.
type Result struct {
	Share      *Share // nil for a dealer that holds nothing any more
	Key        *PublicKey
	Transcript [32]byte // same at every region; the key goes live when all have signed it
}

// Finish returns the result and wipes what the ceremony held; NotReady while something
// is missing. What this region deals to others must have been taken from Dealt before. A region that deals but is no holder gets no share.
func (c *Ceremony) Finish() (*Result, error) {
	if c.done {
		return nil, errs.New(errs.BadState, "key ceremony is over")
	}
	if err := waitingFor("dealings", c.terms.Dealers, c.dealings); err != nil {
		return nil, err
	}
	holder := slices.Contains(c.terms.Holders, c.region)
	if holder && c.own != nil && c.dealt[c.region] == nil {
		c.dealt[c.region] = newDealt(c.own, c.coefficients, c.region)
	}
	if holder {
		if err := waitingFor("dealt shares", c.terms.Dealers, c.dealt); err != nil {
			return nil, err
		}
	}
	dealings := make([]*Dealing, 0, len(c.dealings))
	for _, r := range c.terms.Dealers {
		dealings = append(dealings, c.dealings[r])
	}
	key, transcript, err := c.terms.combine(dealings)
	if err != nil {
		return nil, err
	}
	out := &Result{Key: key, Transcript: transcript}
	if holder {
		if out.Share, err = c.share(key); err != nil {
			return nil, err
		}
	}
	c.Wipe()
	return out, nil
}

// share returns the region's share of the new key. One that is not what the key names comes
// wiped, with the error: nobody has a use for it.
func (c *Ceremony) share(key *PublicKey) (*Share, error) {
	s := c.sum()
	err := s.Matches(key)
	if err != nil {
		s.Wipe()
	}
	return s, err
}

func (c *Ceremony) sum() *Share {
	g := c.terms.Suite.group
	s := &Share{suite: c.terms.Suite, epoch: c.terms.Epoch, region: c.region, secret: g.number(0)}
	protected(func() {
		for i, w := range c.terms.weights() {
			s.secret = replace(s.secret, g.mulAdd(w, c.dealt[c.terms.Dealers[i]].value, s.secret))
		}
		s.public = g.base(s.secret)
	})
	return s
}

// Wipe overwrites all secrets; the ceremony is over.
func (c *Ceremony) Wipe() {
	c.done = true
	for _, a := range c.coefficients {
		a.wipe()
	}
	c.coefficients = nil
	for r, d := range c.dealt {
		d.Wipe()
		delete(c.dealt, r)
	}
}

// Faults returns what was refused so far, each with the region to blame.
func (c *Ceremony) Faults() []*Fault { return slices.Clone(c.faults) }

func (c *Ceremony) note(f *Fault) error {
	if len(c.faults) < maxFaults {
		c.faults = append(c.faults, f)
	}
	return f
}

// Format keeps secrets out of logs, whatever the verb.
func (c *Ceremony) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "key ceremony %x at region %d", c.hash[:8], c.region)
}

func waitingFor[M any](what string, from []uint8, have map[uint8]M) error {
	var missing []uint8
	for _, r := range from {
		if _, ok := have[r]; !ok {
			missing = append(missing, r)
		}
	}
	if len(missing) > 0 {
		return errs.New(errs.NotReady, "key ceremony: %s of regions %v are missing", what, missing)
	}
	return nil
}
