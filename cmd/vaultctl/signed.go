package main

import (
	"encoding/base64"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/solana"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// multisig verifies what the drawn regions of a multisig key signed and makes of it what
// was asked for; nil where that is the signatures themselves.
func (s *signing) multisig(v *vault, k *client.Key, in *intent.Intent, r *client.Request, view *signedView) ([]byte, error) {
	sets, err := verified(k, in, r)
	if err != nil {
		return nil, err
	}
	for _, set := range sets {
		sv := signatureView{Region: regionName(v.genesis, set.Region), PublicKey: hexOf(keyOf(k, set.Region))}
		for _, sig := range set.Signatures {
			sv.Signatures = append(sv.Signatures, hexOf(sig))
		}
		view.Regions = append(view.Regions, sv)
	}
	if s.kind != command.KindPSBT {
		return nil, nil
	}
	w, err := wallet(k)
	if err != nil {
		return nil, err
	}
	merged, err := w.Combine(s.payload, sets)
	if err != nil {
		return nil, err
	}
	return s.merged(w, merged, in, view)
}

// threshold does the same with the one signature a message of a threshold key.
func (s *signing) threshold(v *vault, k *client.Key, in *intent.Intent, r *client.Request, view *signedView) ([]byte, error) {
	info := keyInfo(k, s.net)
	if len(r.Signatures) != len(in.Spends) || len(r.Signatures) == 0 {
		return nil, errs.New(errs.Unverified, "request %s: %d signatures for %d messages", hexOf(r.Id), len(r.Signatures), len(in.Spends))
	}
	for i, spend := range in.Spends {
		key, err := spend.Key(info)
		if err != nil {
			return nil, err
		}
		if !spend.Verify(info, r.Signatures[i]) {
			return nil, errs.New(errs.Unverified, "request %s: signature %d does not verify under %x, path %s", hexOf(r.Id), i, key, command.PathText(spend.Path))
		}
		view.Signatures = append(view.Signatures, spentView{command.PathText(spend.Path), hexOf(key), hexOf(r.Signatures[i])})
	}
	for _, res := range r.Results {
		view.Regions = append(view.Regions, signatureView{Region: regionName(v.genesis, identity.RegionID(res.Region))})
	}
	switch {
	case s.asKind == sshKind:
		armored := sshArmored(in.Key, s.namespace, r.Signatures[0])
		view.SSH = string(armored)
		return armored, nil
	case s.kind == command.KindSolana:
		return s.transaction(in, r.Signatures[0], view)
	case s.kind == command.KindPSBT:
		w, err := info.Taproot()
		if err != nil {
			return nil, err
		}
		merged, err := w.Combine(s.payload, r.Signatures)
		if err != nil {
			return nil, err
		}
		return s.merged(w, merged, in, view)
	}
	return nil, nil
}

// merged makes the PSBT or the raw transaction.
func (s *signing) merged(w interface {
	Finalize(psbt []byte) ([]byte, error)
}, merged []byte, in *intent.Intent, view *signedView) ([]byte, error) {
	view.PSBT, view.TxID = base64.StdEncoding.EncodeToString(merged), in.Transaction.TxID
	if s.finalize {
		raw, err := w.Finalize(merged)
		if err != nil {
			return nil, err
		}
		view.Transaction = hexOf(raw)
		return []byte(view.Transaction + "\n"), nil
	}
	if s.armored {
		return []byte(view.PSBT + "\n"), nil
	}
	return merged, nil
}

// transaction joins the signature to a Solana message.
func (s *signing) transaction(in *intent.Intent, sig []byte, view *signedView) ([]byte, error) {
	raw, err := in.Solana.Transaction(solana.Signature{Signer: solana.Address(in.Key), Bytes: sig})
	if err != nil {
		return nil, err
	}
	view.Transaction = base64.StdEncoding.EncodeToString(raw)
	if s.armored {
		return []byte(view.Transaction + "\n"), nil
	}
	return raw, nil
}

// verified checks every signature against the key's attested public keys: the vault's
// word is not enough.
func verified(k *client.Key, in *intent.Intent, r *client.Request) ([]intent.SignatureSet, error) {
	if len(r.Results) < int(k.Signers) {
		return nil, errs.New(errs.Unverified, "request %s: %d regions signed, want %d", hexOf(r.Id), len(r.Results), k.Signers)
	}
	var out []intent.SignatureSet
	seen := map[identity.RegionID]bool{}
	for _, res := range r.Results {
		region := identity.RegionID(res.Region)
		pub := keyOf(k, region)
		if pub == nil || seen[region] || len(res.Signatures) != len(in.Messages) {
			return nil, errs.New(errs.Unverified, "request %s: the result of region %d does not fit the key or the payload", hexOf(r.Id), region)
		}
		seen[region] = true
		for i, sig := range res.Signatures {
			if !intent.Verify(command.Curve(k.Curve), pub, in.Messages[i], sig) {
				return nil, errs.New(errs.Unverified, "request %s: signature %d of region %d does not verify", hexOf(r.Id), i, region)
			}
		}
		out = append(out, intent.SignatureSet{Region: region, Signatures: res.Signatures})
	}
	return out, nil
}
