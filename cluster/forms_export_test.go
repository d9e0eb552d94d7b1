package cluster

import (
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Sample is one encoded form of this room.
type Sample struct {
	Kind   string
	Stored bool
	Bytes  []byte
}

func zeroSig(r identity.RegionID) chain.Signature { return chain.Signature{Region: r} }

// Samples are one of each, with signatures of zeros.
func Samples() []Sample {
	at := chain.Link{Term: 3, Index: 7, Hash: [32]byte{7}}
	tuple := chain.Tuple{Lineage: [32]byte{1}, Link: at}
	vote := chain.Vote{Lineage: [32]byte{1}, Term: 4, Candidate: 2, Last: at, Granted: true, Signature: zeroSig(2)}
	proof := &chain.LeaderProof{Lineage: [32]byte{1}, Term: 4, Leader: 2, Base: at, Ballots: []chain.Ballot{{Last: at, Signature: zeroSig(1)}, {Last: at, Signature: zeroSig(2)}, {Last: at, Signature: zeroSig(3)}}}
	pre := chain.PreVote{Lineage: [32]byte{1}, Term: 5, Candidate: 2, Cause: chain.Silence, Signature: zeroSig(3)}
	rec := record{Term: 4, Why: &chain.Justification{Proof: proof}, Proof: proof, Reports: []chain.Vote{vote}, Cut: true, Next: &chain.Justification{PreVotes: []chain.PreVote{pre}}}
	snapshot := &chain.SnapshotProof{Attestation: chain.Attestation{Tuple: tuple, Members: []chain.Member{{ServerID: "r1-00000001", Region: 1, Address: "r1:1", Voter: true}}, ConfigIndex: 1},
		Signatures: []chain.Signature{zeroSig(1), zeroSig(2), zeroSig(4)}}
	v := voucher{Proof: snapshot, Leader: proof}
	b := branch{Branch: chain.Branch{Path: []chain.Header{{Prev: [32]byte{6}, Term: 3, Index: 7, Type: 1}}}, sigs: []chain.Signature{zeroSig(1)}, proofs: []*chain.LeaderProof{proof}}
	ack := chain.Ack{Tuple: tuple, Signature: zeroSig(4)}
	return []Sample{
		{"record", true, rec.encode()},
		{"voucher", true, v.encode()},
		{"acks", false, acksItem([]chain.Ack{ack}).Data},
		{"headers", false, encodeHeaders(&b)},
		{"reports", false, reportsItem([]chain.Vote{vote}).Data},
		{"candidacy", false, candidacyItem(at, [32]byte{9}).Data},
		{"pre-vote", false, preVoteItem(&pre, at).Data},
		{"entries", false, entriesItem([]*raft.Log{{Index: 8, Term: 3, Data: []byte("sealed entry"), Extensions: ExtensionFor([32]byte{8}), AppendedAt: time.UnixMilli(5)}, {Index: 9, Term: 4, Type: raft.LogNoop}}).Data},
		{"snapshot on offer", false, snapshotItem(&raft.InstallSnapshotRequest{SnapshotVersion: 1, LastLogIndex: 40, LastLogTerm: 3, Configuration: []byte("membership"), ConfigurationIndex: 1, Size: 77}).Data},
	}
}

// Recode decodes a form and encodes it again.
func Recode(kind string, b []byte) ([]byte, error) {
	switch kind {
	case "record":
		r, err := decodeRecord(b)
		if err != nil {
			return nil, err
		}
		return r.encode(), nil
	case "voucher":
		v, err := decodeVoucher(b)
		if err != nil {
			return nil, err
		}
		return v.encode(), nil
	case "acks":
		a, err := decodeAcks(b)
		if err != nil || b == nil {
			return b, err
		}
		return acksItem(a).Data, nil
	case "headers":
		var x branch
		if err := decodeHeaders(b, &x); err != nil {
			return nil, err
		}
		return encodeHeaders(&x), nil
	case "reports":
		v, err := decodeReports(b)
		if err != nil {
			return nil, err
		}
		return reportsItem(v).Data, nil
	case "candidacy":
		last, shown, err := decodeCandidacy(b)
		if err != nil {
			return nil, err
		}
		return candidacyItem(last, shown).Data, nil
	case "pre-vote":
		v, last, err := readPreVote(&reply{Items: []item{{itemPreVote, b}}})
		if err != nil {
			return nil, err
		}
		return preVoteItem(v, last).Data, nil
	}
	return recodeFetched(kind, b)
}
