package ceremony

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/roll"
	"github.com/tetrad-vault/tetrad/seal"
)

// Welcome is what one living region gives a region that comes with an empty disk: who all
// regions are now, and the root key, sealed to the HSM that the vault knows.
type Welcome struct {
	origin
	*roll.Roll
}

// File returns the welcome as text.
func (w *Welcome) File() []byte { return armor(blockWelcome, w.Encode()) }

func decodeWelcome(b []byte) (*Welcome, error) {
	o, err := roll.Decode(b)
	if err != nil {
		return nil, err
	}
	return &Welcome{Roll: o}, nil
}

// Trust is the identities that people compared, by region.
type Trust map[identity.RegionID]identity.Fingerprint

// ParseTrust reads REGION=FINGERPRINT.
func ParseTrust(d *genesis.Document, in []string) (Trust, error) {
	out := Trust{}
	for _, s := range in {
		name, hash, _ := strings.Cut(s, "=")
		i := slices.IndexFunc(d.Regions, func(r genesis.Region) bool { return r.Name == name })
		fp, err := ParseHash(hash)
		if i < 0 || err != nil {
			return nil, errs.New(errs.Invalid, "%.100q is not REGION=FINGERPRINT, a region of the genesis and 64 hex digits", s)
		}
		out[d.Regions[i].ID] = fp
	}
	return out, nil
}

// Hearing is what living regions said, judged.
type Hearing struct {
	Pins     roll.Pins           // identity keys to believe
	Changed  []identity.RegionID // whose key is not the one of the genesis
	Disputed []identity.RegionID // whose key somebody believed calls another one
	Split    []identity.RegionID // those of them about whom two camps are equally strong
	rolls    []*roll.Roll        // of believed regions
}

// Hear judges welcomes, beginning with the identities of the genesis.
func Hear(d *genesis.Document, in []*Welcome, trust Trust) (*Hearing, error) {
	rolls := make([]*roll.Roll, len(in))
	for i, w := range in {
		rolls[i] = w.Roll
	}
	founders := roll.Pins{}
	for i := range d.Regions {
		founders[d.Regions[i].ID] = d.Regions[i].Identity
	}
	j := roll.Judge{Cluster: d.Cluster, Lineage: d.Hash(), Start: maps.Clone(founders), Fixed: map[identity.RegionID]struct{}{}}
	for region, fp := range trust {
		k, ok := keyOf(rolls, region, fp, founders[region])
		if !ok {
			return nil, errs.New(errs.NotFound, "no welcome names an identity key with fingerprint %s for region %q", fp, d.Regions[region-1].Name).
				WithHint("compare it again with the region's operator, and ask a region that has it for a welcome")
		}
		j.Start[region], j.Fixed[region] = k, struct{}{}
	}
	h := &Hearing{}
	h.Pins, h.rolls = j.Believe(rolls)
	h.Split = j.Contested(h.Pins, h.rolls)
	for _, region := range slices.Sorted(maps.Keys(h.Pins)) {
		if !h.Pins[region].Equal(founders[region]) {
			h.Changed = append(h.Changed, region)
		}
	}
	h.Disputed = roll.Disputed(h.Pins, h.rolls)
	return h, nil
}

// whole refuses welcomes of two camps that are equally strong.
func (h *Hearing) whole(d *genesis.Document) error {
	if len(h.Split) == 0 {
		return nil
	}
	names := make([]string, len(h.Split))
	for i, r := range h.Split {
		names[i] = d.Regions[r-1].Name
	}
	return errs.New(errs.Unverified, "the welcomes contradict each other about %s, and as many say one thing as the other", strings.Join(names, ", ")).
		WithHint("compare the identities of these regions by telephone, and name them: --trust-identity REGION=FINGERPRINT; keep the welcomes, they are signed")
}

// keyOf finds a region's key by its fingerprint.
func keyOf(rolls []*roll.Roll, region identity.RegionID, fp identity.Fingerprint, founder identity.PublicKey) (identity.PublicKey, bool) {
	if founder.Fingerprint() == fp {
		return founder, true
	}
	for _, o := range rolls {
		if int(region) <= len(o.Identities) && o.Identities[region-1].Fingerprint() == fp {
			return o.Identities[region-1], true
		}
	}
	return identity.PublicKey{}, false
}

// roots opens the root keys that the welcomes carry for this region. One that does not hold
// is passed over: the next region may not lie. Why is told when none is left.
func (s *Site) roots(ctx context.Context, d *genesis.Document, h *Hearing) (map[uint32]seal.Root, error) {
	var why []string
	opened := map[identity.RegionID]map[uint32]seal.Root{}
	for _, o := range h.rolls {
		roots, err := s.openRoll(ctx, d, o)
		if err != nil {
			why = append(why, fmt.Sprintf("%s: %s", d.Regions[o.Region-1].Name, err))
			continue
		}
		opened[o.Region] = roots
	}
	if roots, ok := agreed(opened); ok {
		return roots, nil
	}
	if len(opened) > 0 {
		why = append(why, "they hold different later root keys")
	}
	if len(h.rolls) == 0 {
		why = append(why, "none is signed by a region that is believed")
	}
	return nil, errs.New(errs.Unverified, "no welcome holds the root key for region %q: %s", s.Region.Name, strings.Join(why, "; ")).
		WithHint("get a new one: vaultctl region welcome %s; a region that wraps a wrong key lies, its signature is the evidence", s.Region.Name)
}

// agreed picks the root keys that two regions have alike. Where nobody has one after the
// genesis' any will do, since that vouches for it.
func agreed(opened map[identity.RegionID]map[uint32]seal.Root) (map[uint32]seal.Root, bool) {
	later := false
	for a, roots := range opened {
		later = later || len(roots) > 1
		for b := range opened {
			if a != b && maps.Equal(roots, opened[b]) {
				return roots, true
			}
		}
	}
	for _, roots := range opened {
		return roots, !later
	}
	return nil, false
}

func (s *Site) openRoll(ctx context.Context, d *genesis.Document, o *roll.Roll) (map[uint32]seal.Root, error) {
	if o.Guest != s.Region.ID {
		return nil, errs.New(errs.NotFound, "it carries no root key for this region")
	}
	plain, err := s.HSM.Unwrap(ctx, o.Sealed, roll.Label(o.Lineage, o.Region, o.Guest))
	if err != nil {
		return nil, err
	}
	defer clear(plain)
	return seal.DecodeRoots(plain, d.Cluster, d.RootCheck)
}
