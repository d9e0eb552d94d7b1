package ceremony

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"filippo.io/age"

	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
	"github.com/tetrad-vault/tetrad/seal"
)

// regionKey finds the identity key that must have signed for a region.
func regionKey(d *genesis.Document, id identity.RegionID) (identity.PublicKey, error) {
	if id < 1 || int(id) > len(d.Regions) {
		return identity.PublicKey{}, errs.New(errs.Invalid, "the genesis has no region %d", id)
	}
	return d.Regions[id-1].Identity, nil
}

const labelOfficers = "tetrad/ceremony-officers/v1"

// DealOfficers splits the root key to the officers. One region does so, after round 2.
// Repeated, it returns the same shares, so that no officer ends up with a stale one.
func (s *Site) DealOfficers(ctx context.Context, enrolments []*Enrolment, contributions []*Contribution) ([]*OfficerShare, error) {
	own, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	_, o, err := s.agreed(ctx, own, enrolments, contributions)
	if err != nil {
		return nil, err
	}
	st, err := s.officersState(ctx)
	if err == nil && st.genesis == o.document.Hash() {
		return st.shares, nil
	}
	if err != nil && !errors.Is(err, errs.ErrNotFound) {
		return nil, err
	}
	if st, err = s.deal(ctx, own.Region, o); err != nil {
		return nil, err
	}
	return st.shares, s.writeWrapped(stateOfficers, labelOfficers, st.encode())
}

func (s *Site) deal(ctx context.Context, region identity.RegionID, o *opened) (*officersState, error) {
	asking, err := age.GenerateHybridIdentity()
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "age identity")
	}
	who := o.document.Officers
	parts, err := seal.Split(rand.Reader, o.root[:], int(who.Threshold), len(who.Recipients))
	if err != nil {
		return nil, err
	}
	st := &officersState{genesis: o.document.Hash(), asking: asking.String()}
	for i, p := range parts {
		plain := p.Encode()
		st.hashes = append(st.hashes, sha256.Sum256(plain))
		share := &OfficerShare{Genesis: st.genesis, Region: region, Index: p.Index, Recipient: who.Recipients[i],
			Asking: asking.Recipient().String()}
		share.Ciphertext, err = EncryptTo(share.Recipient, plain)
		clear(plain)
		clear(p.Data)
		if err != nil {
			return nil, errs.Wrap(errs.Invalid, err, "encrypting to officer %d", p.Index)
		}
		if share.Sig, err = signAs(ctx, s.HSM.Identity(), share.signedBytes()); err != nil {
			return nil, err
		}
		st.shares = append(st.shares, share)
	}
	return st, nil
}

// officersState is what the dealing region remembers: the key it asks with and the
// hashes of the shares, by which a wrong proof names its officer.
type officersState struct {
	genesis [32]byte
	asking  string
	hashes  [][32]byte
	shares  []*OfficerShare
}

func (o *officersState) encode() []byte {
	w := wire.NewWriter(16 << 10)
	w.U8(1)
	w.Fixed(o.genesis[:])
	w.String(o.asking)
	w.U8(uint8(len(o.shares)))
	for i, s := range o.shares {
		w.Fixed(o.hashes[i][:])
		w.Blob(s.Encode())
	}
	return w.Bytes()
}

func (s *Site) officersState(ctx context.Context) (*officersState, error) {
	b, err := s.readWrapped(ctx, stateOfficers, labelOfficers)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	r, o := wire.NewReader(b), &officersState{}
	if v := r.U8(); v != 1 {
		r.Fail("officers state version %d", v)
	}
	r.Fixed(o.genesis[:])
	o.asking = r.String(genesis.MaxRecipient)
	for n := r.U8(); n > 0 && r.Err() == nil; n-- {
		var h [32]byte
		r.Fixed(h[:])
		share, err := decodeOfficerShare(r.Blob(maxFile))
		if err != nil {
			return nil, errs.Wrap(errs.Corrupt, err, "%s in the data directory", stateOfficers)
		}
		o.hashes, o.shares = append(o.hashes, h), append(o.shares, share)
	}
	if err := r.Done(); err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "%s in the data directory", stateOfficers)
	}
	return o, nil
}

// ProveShare is the officer's step: the share is opened with the officer's age
// identity and encrypted to the region that asks, which must be one of the genesis
// whose hash the officer was told.
func ProveShare(share *OfficerShare, a *Approval, hash [32]byte, ids ...age.Identity) (*OfficerProof, error) {
	if a.Document.Hash() != hash || share.Genesis != hash {
		return nil, errs.New(errs.Unverified, "the share%s or the genesis%s is not of the genesis with hash %s", share.in(), a.in(), hex.EncodeToString(hash[:])).
			WithHint("compare the hash with the operators; do not answer otherwise")
	}
	key, err := regionKey(&a.Document, share.Region)
	if err != nil {
		return nil, err
	}
	if !key.Verify(share.signedBytes(), share.Sig) {
		return nil, errs.New(errs.Unverified, "the share%s is not signed by region %d of this genesis: answering might hand it to a stranger", share.in(), share.Region)
	}
	plain, err := DecryptWith(share.Ciphertext, ids...)
	if err != nil {
		return nil, errs.Wrap(errs.Denied, err, "the share%s does not open with this age identity", share.in()).
			WithHint("it is encrypted to %.60s", share.Recipient)
	}
	defer clear(plain)
	if p, err := seal.DecodeShare(plain); err != nil || p.Index != share.Index {
		return nil, errs.Wrap(errs.Corrupt, err, "the share%s is not officer %d's", share.in(), share.Index)
	}
	proof := &OfficerProof{Genesis: hash, Region: share.Region, Index: share.Index}
	if proof.Ciphertext, err = EncryptTo(share.Asking, plain); err != nil {
		return nil, errs.Wrap(errs.Invalid, err, "encrypting to region %d", share.Region)
	}
	return proof, nil
}

// CheckOfficers is the dealing region's last step: with all officers' proofs it makes
// the test reconstruction and signs that it gave the root key of this genesis.
func (s *Site) CheckOfficers(ctx context.Context, enrolments []*Enrolment, contributions []*Contribution, proofs []*OfficerProof) (*OfficersProved, error) {
	own, err := s.open(ctx)
	if err != nil {
		return nil, err
	}
	_, o, err := s.agreed(ctx, own, enrolments, contributions)
	if err != nil {
		return nil, err
	}
	st, err := s.officersState(ctx)
	if errors.Is(err, errs.ErrNotFound) || err == nil && st.genesis != o.document.Hash() {
		return nil, errs.New(errs.BadState, "region %q has dealt no shares of this genesis", own.Name).WithHint("run vaultctl init officers deal, at one region only")
	} else if err != nil {
		return nil, err
	}
	parts, err := st.open(proofs)
	defer func() {
		for _, p := range parts {
			clear(p.Data)
		}
	}()
	if err != nil {
		return nil, err
	}
	root, err := seal.Combine(parts)
	if err != nil {
		return nil, err
	}
	defer clear(root)
	if seal.RootCheck(s.Plan.Cluster, seal.Root(root)) != o.document.RootCheck {
		return nil, errs.New(errs.Unverified, "the officers' shares give another root key than the genesis names")
	}
	proved := &OfficersProved{Genesis: st.genesis, Region: own.Region, Threshold: s.Plan.Officers.Threshold, Officers: uint8(len(parts))}
	proved.Sig, err = signAs(ctx, s.HSM.Identity(), proved.signedBytes())
	return proved, err
}

// open decrypts every officer's proof and compares it with what was dealt.
func (o *officersState) open(proofs []*OfficerProof) ([]seal.Share, error) {
	id, err := age.ParseHybridIdentity(o.asking)
	if err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "asking identity")
	}
	parts, have := make([]seal.Share, len(o.hashes)), make([]bool, len(o.hashes))
	for _, p := range proofs {
		if p.Genesis != o.genesis || p.Index < 1 || int(p.Index) > len(parts) {
			return parts, errs.New(errs.Invalid, "%s belongs to another ceremony", p.who())
		}
		plain, err := DecryptWith(p.Ciphertext, id)
		if err != nil {
			return parts, errs.Wrap(errs.Invalid, err, "%s is not encrypted to this region", p.who()).
				WithHint("the officer must answer the share this region dealt")
		}
		if sha256.Sum256(plain) != o.hashes[p.Index-1] {
			clear(plain)
			return parts, errs.New(errs.Unverified, "%s is not the share that was dealt to officer %d", p.who(), p.Index)
		}
		parts[p.Index-1], err = seal.DecodeShare(plain)
		clear(plain)
		if err != nil {
			return parts, err
		}
		have[p.Index-1] = true
	}
	for i, ok := range have {
		if !ok {
			return parts, errs.New(errs.NotFound, "the proof of officer %d is missing", i+1).
				WithHint("the officer runs vaultctl init officers prove and sends the result")
		}
	}
	return parts, nil
}

// EncryptTo encrypts to one age recipient.
func EncryptTo(recipient string, plain []byte) ([]byte, error) {
	rs, err := age.ParseRecipients(bytes.NewReader([]byte(recipient)))
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	w, err := age.Encrypt(&out, rs...)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(plain); err != nil {
		return nil, err
	}
	// Close writes the last chunk, so the bytes are taken after it.
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// DecryptWith opens what EncryptTo made, with the first of the identities that fits; at most
// 8 KiB of it. The plaintext is the caller's to clear.
func DecryptWith(ciphertext []byte, ids ...age.Identity) ([]byte, error) {
	r, err := age.Decrypt(bytes.NewReader(ciphertext), ids...)
	if err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, maxBox))
}
