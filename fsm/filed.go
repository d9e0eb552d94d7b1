package fsm

import (
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// genuine verifies what the region that files a completion signed itself. Whoever gathers
// answers verifies those of others before it files them; its own nobody would have seen but
// itself. With at most one region lying, every signature of a completed request is good.
func genuine(q *Request, k *Key, author identity.RegionID, results []SignatureSet) error {
	own := slices.IndexFunc(results, func(s SignatureSet) bool { return s.Region == author })
	if own < 0 || !liar.Defends(liar.Filed) {
		return nil
	}
	good := ownGood
	if k.Scheme.Shared() {
		good = jointGood
	}
	if ok, err := good(q, k, own, results); err != nil || !ok {
		return errs.New(errs.Unverified, "region %d files a completion of request %s in which its own signature does not verify", author, q.ID).
			WithHint("it lies or its HSM fails; the request stays open")
	}
	return nil
}

// ownGood verifies a region's own signatures of a multisig key.
func ownGood(q *Request, k *Key, own int, results []SignatureSet) (bool, error) {
	messages, err := intent.Messages(q.Kind, q.HashAlg, q.Payload, k.Info())
	a := k.Attested(results[own].Region)
	if err != nil || a == nil || len(messages) != len(results[own].Signatures) {
		return false, err
	}
	verifier := intent.NewVerifier(k.Curve, a.PublicKey)
	for i, m := range messages {
		if !verifier.Verify(m, results[own].Signatures[i]) {
			return false, nil
		}
	}
	return true, nil
}

// jointGood verifies the signatures that the shares of a threshold key add up to: if the
// others' shares are good, the own one is exactly when the sum is.
func jointGood(q *Request, k *Key, own int, results []SignatureSet) (bool, error) {
	info := k.Info()
	spends, err := intent.Spends(q.Kind, q.HashAlg, q.Payload, q.Path, info)
	if err != nil || len(spends) != len(results[own].Signatures) {
		return false, err
	}
	shares := make([][]byte, len(results))
	for i, s := range spends {
		for j := range results {
			shares[j] = results[j].Signatures[i]
		}
		signature, err := intent.Join(k.Curve, shares)
		if err != nil || !s.Verify(info, signature) {
			return false, err
		}
	}
	return true, nil
}
