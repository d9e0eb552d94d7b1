package vault

import (
	"slices"
	"strings"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// trying is what a region remembers of its part in one try. It is a cache: all of it comes
// again from the committed row and the region's own sealed seed.
type trying struct {
	id      command.CeremonyID
	terms   frost.Terms
	region  identity.RegionID
	cluster identity.ClusterID

	ceremony *frost.Ceremony // nil until joined
	dealings map[identity.RegionID]*frost.Dealing
	faults   []fault // found by this region itself
	fresh    []byte  // seed of the own dealing until HashDealing is made

	step fsm.CeremonyStep // of made
	made command.Body     // filed or to be filed; made once, so that asking again says the same
	at   uint64           // index at which the log decided what was filed last
}

// fault is one region's offence in a try, as this region found it.
type fault struct {
	against   identity.RegionID
	complaint []byte // frost.Complaint; empty where everybody sees it, or nothing can show it
	note      string
}

func newTrying(cluster identity.ClusterID, region identity.RegionID, key *fsm.Key) (*trying, error) {
	if key.Import != nil {
		return &trying{id: key.Ceremony.ID, region: region, cluster: cluster}, nil
	}
	terms, err := ceremonyTerms(cluster, key)
	if err != nil {
		return nil, err
	}
	return &trying{id: key.Ceremony.ID, terms: terms, region: region, cluster: cluster, dealings: map[identity.RegionID]*frost.Dealing{}}, nil
}

func (t *trying) deals() bool { return slices.Contains(t.terms.Dealers, uint8(t.region)) }
func (t *trying) holds() bool { return slices.Contains(t.terms.Holders, uint8(t.region)) }

// join begins the region's part; seed and old share are nil where it does not deal, the
// share for a new key too.
func (t *trying) join(seed []byte, share *frost.Share) error {
	var err error
	if !t.deals() {
		t.ceremony, err = frost.Begin(nil, t.terms, uint8(t.region), nil)
		return err
	}
	draws := t.terms.Threshold + 1 // coefficients, and the nonce of the proof
	if share != nil {
		draws-- // its constant is the share
	}
	random, err := dealingRandom(seed, t.terms.Session, draws)
	if err != nil {
		return err
	}
	t.ceremony, err = frost.Begin(random, t.terms, uint8(t.region), share)
	return err
}

// agrees reports whether the dealing made here is the one the log holds the hash of.
func (t *trying) agrees(c *fsm.Ceremony) bool {
	own := partOf(c, t.region)
	if !own.Hashed {
		return true
	}
	hash, deals := t.ceremony.Hash()
	return deals && hash == own.Hash
}

// hear takes what the log holds of others' hashes and dealings. What is wrong in them
// everybody sees, and becomes a fault; an error is one of this region.
func (t *trying) hear(c *fsm.Ceremony) error {
	for _, p := range c.Parts {
		if p.Hashed {
			if err := t.ceremony.AddHash(uint8(p.Region), p.Hash); err != nil {
				return errs.Wrap(errs.Corrupt, err, "hash of region %d", p.Region)
			}
		}
	}
	if c.Step < fsm.StepShares {
		return nil
	}
	for _, p := range c.Parts {
		if t.dealings[p.Region] != nil || len(p.Dealing) == 0 || t.blamed(p.Region) {
			continue
		}
		if err := t.hearDealing(&p); err != nil {
			return err
		}
	}
	return nil
}

func (t *trying) hearDealing(p *fsm.Part) error {
	d, err := frost.DecodeDealing(uint8(p.Region), p.Dealing)
	if err == nil {
		err = t.ceremony.AddDealing(uint8(p.Region), d)
	}
	if err != nil {
		return t.blame(err, nil)
	}
	t.dealings[p.Region] = d
	return nil
}

// blame notes whom err names; an error that names nobody is returned.
func (t *trying) blame(err error, complaint []byte) error {
	culprits := frost.Culprits(err)
	if len(culprits) == 0 {
		return err
	}
	for _, r := range culprits {
		t.note(fault{identity.RegionID(r), complaint, err.Error()})
	}
	return nil
}

func (t *trying) note(f fault) {
	if f.against != t.region && !t.blamed(f.against) {
		t.faults = append(t.faults, f)
	}
}

func (t *trying) blamed(r identity.RegionID) bool {
	return slices.ContainsFunc(t.faults, func(f fault) bool { return f.against == r })
}

// judge decides the complaints in the log by the public dealings. One that does not decode,
// or is about somebody else than it accuses, convicts its author. What is accused without a
// complaint either stands in the log for all to see, and was found by hear, or is one
// region's word alone.
func (t *trying) judge(c *fsm.Ceremony) {
	if c.Step < fsm.StepShares {
		return
	}
	for _, p := range c.Parts {
		for _, a := range p.Accuses {
			if p.Region != t.region && len(a.Complaint) > 0 {
				t.judgeComplaint(p.Region, a)
			}
		}
	}
}

func (t *trying) judgeComplaint(by identity.RegionID, a fsm.Accusation) {
	complaint, err := frost.DecodeComplaint(uint8(by), a.Complaint)
	if err == nil {
		err = t.terms.Judge(complaint, t.dealings[a.Against])
	}
	_ = t.blame(err, nil) // names somebody, always; the evidence stands with who complains
}

// accusation returns what this region must still say about others in this try, nil
// without.
func (t *trying) accusation(c *fsm.Ceremony) command.Body {
	own := partOf(c, t.region)
	for _, f := range t.faults {
		if !slices.ContainsFunc(own.Accuses, func(a fsm.Accusation) bool { return a.Against == f.against }) {
			return &command.AccuseDealer{Ceremony: t.id, Against: f.against, Complaint: f.complaint, Note: noteText(f.note)}
		}
	}
	return nil
}

// noteText cuts a message to what a command's note may hold.
func noteText(s string) string {
	s = strings.ToValidUTF8(s[:min(len(s), command.MaxNote)], "")
	if command.CheckText("note", s, command.MaxNote) != nil {
		return "see the messages of the ceremony"
	}
	return s
}

// wipe overwrites the secrets of the try and forgets all that came of them.
func (t *trying) wipe() {
	clear(t.fresh)
	if t.ceremony != nil {
		t.ceremony.Wipe()
	}
	t.ceremony, t.fresh, t.made, t.faults = nil, nil, nil, nil
	clear(t.dealings)
}

// partOf is what a region has delivered in the present try, empty before.
func partOf(c *fsm.Ceremony, region identity.RegionID) fsm.Part {
	if p := c.Part(region); p != nil {
		return *p
	}
	return fsm.Part{Region: region}
}
