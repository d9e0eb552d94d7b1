package vault

import (
	"bytes"
	"context"
	"crypto/sha256"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/box"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

// Keys from outside (docs/design/threshold.md, section Import): one who knew the whole key
// dealt it, every holder checks what it was dealt.

// importer stands where a region is accused.
const importer identity.RegionID = 0

// owedImport returns what this region has to say of a key that is brought in: that it took
// its share, or what is wrong with it.
func (d *dealer) owedImport(ctx context.Context, key *fsm.Key, t *trying) (command.Body, error) {
	own := partOf(key.Ceremony, t.region)
	if len(own.Public) > 0 || len(own.Accuses) > 0 {
		return nil, nil
	}
	if t.made != nil {
		return t.made, nil
	}
	body, err := d.takeImport(ctx, key, t)
	if err == nil {
		t.made, t.step = body, key.Ceremony.Step
	}
	return body, err
}

// takeImport makes the message; an error is this region's own trouble.
func (d *dealer) takeImport(ctx context.Context, key *fsm.Key, t *trying) (command.Body, error) {
	public, err := importedKey(key)
	if err != nil {
		return t.refuse(importer, err.Error()), nil
	}
	if body := d.unfitHolder(key, t); body != nil {
		return body, nil
	}
	var plain []byte
	var bad error // of the box; what use returns is this region's own trouble
	err = d.wraps.use(ctx, key.Ceremony.Wrap, func(wrap *box.Key) error {
		plain, bad = wrap.Open(key.Import.Box(t.region), command.ImportInfo(t.cluster, t.region, key.Ceremony.Wrap, key.Import.Split))
		return nil
	})
	if err != nil {
		return nil, err
	}
	if bad != nil {
		return t.refuse(importer, "what it sealed to this region does not open"), nil
	}
	defer clear(plain)
	share, err := frost.DecodeShare(plain)
	if err != nil {
		return t.refuse(importer, "what it sealed to this region is no share"), nil
	}
	defer share.Wipe()
	if share.Region() != uint8(t.region) || share.Matches(public) != nil {
		return t.refuse(importer, "the share it sealed to this region is not one of the key"), nil
	}
	box, err := d.wraps.sealOwn(ctx, key.Ceremony.Wrap, shareInfo(t.cluster, key.ID, t.id.Epoch, t.region), plain)
	if err != nil {
		return nil, err
	}
	return &command.FinishShare{Ceremony: t.id, Transcript: importTranscript(t.cluster, key, public), Public: public.Encode(),
		Point: public.Compressed(), Chain: key.Import.Chain, Share: box}, nil
}

// refuse says what is wrong with the work of another.
func (t *trying) refuse(against identity.RegionID, note string) command.Body {
	return &command.AccuseDealer{Ceremony: t.id, Against: against, Note: noteText(note)}
}

// unfitHolder accuses a holder whose wrapping key can leave its HSM: nobody else looks at
// the keys that an importer seals to.
func (d *dealer) unfitHolder(key *fsm.Key, t *trying) command.Body {
	e, ok := d.cfg.Replica.View().Wrap(key.Ceremony.Wrap)
	for _, r := range key.Ceremony.Holders {
		if !ok || r == t.region || e.Key(r) == nil {
			continue
		}
		if d.cfg.Attributes(e.Key(r).Attributes) != nil {
			return t.refuse(r, "its wrapping key is not one to seal shares to")
		}
	}
	return nil
}

// importedKey returns the public side of a key that is brought in, if what was dealt is of
// the key and for as many signers as the command said.
func importedKey(key *fsm.Key) (*frost.PublicKey, error) {
	suite, err := suiteOf(key.Curve)
	if err != nil {
		return nil, err
	}
	split, err := frost.DecodeSplit(key.Import.Split)
	if err != nil {
		return nil, err
	}
	if split.Suite() != suite || split.Threshold() != int(key.Signers) {
		return nil, errs.New(errs.Unverified, "it dealt a key of %v for %d signers, not of %s for %d", split.Suite(), split.Threshold(), key.Curve, key.Signers)
	}
	public, err := split.Key(numbers(key.Ceremony.Holders))
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(public.Compressed(), key.Import.Point) {
		return nil, errs.New(errs.Unverified, "it dealt key %x, not %x", public.Compressed(), key.Import.Point)
	}
	return public, nil
}

// importTranscript is what all holders of a key from outside say alike.
func importTranscript(cluster identity.ClusterID, key *fsm.Key, public *frost.PublicKey) [32]byte {
	w := wire.NewWriter(1024)
	writeCeremony(w, "tetrad/import/transcript/v1", cluster, key.Ceremony.ID)
	w.Blob(key.Import.Split)
	w.Fixed(key.Import.Chain[:])
	w.Blob(public.Encode())
	return sha256.Sum256(w.Bytes())
}
