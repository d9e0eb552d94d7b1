package cluster

import (
	"bytes"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Kinds of extension items.
const (
	itemPartial       uint8 = 1 // a beacon partial: place in the log, then the partial's bytes
	itemClock         uint8 = 2 // the sender's clock, in answers to heartbeats
	itemAcks          uint8 = 3 // count, then acks
	itemProof         uint8 = 4 // leader proof of the request's term
	itemCertificate   uint8 = 5 // of the highest entry the receiver may need
	itemSessions      uint8 = 6 // session certificates of those who signed what goes along
	itemJustification uint8 = 7 // of a higher term, or a transfer
	itemCandidacy     uint8 = 8 // the candidate's last link, and its hash at the voter's last index
	itemVote          uint8 = 9
	itemPreVote       uint8 = 10 // the voter's last link, then the pre-vote
	itemSnapshotProof uint8 = 11 // offer, then proof
	itemReports       uint8 = 12 // signed votes of one term
	itemHeaders       uint8 = 13 // of a range of the log, with signatures and proofs
	itemEvidence      uint8 = 14
	itemAttestation   uint8 = 15 // a signature over the asker's attestation
	itemClaim         uint8 = 16 // the highest certificate the sender knows
	itemCommand       uint8 = 17 // encoded, signed
	itemEntries       uint8 = 18 // of the log, as in an append
	itemSnapshot      uint8 = 19 // announcement of a snapshot that can be had in pieces
	itemPiece         uint8 = 20 // of a sealed snapshot
)

// find returns the data of the first item of a kind, nil without one.
func find(items []item, kind uint8) []byte {
	for _, it := range items {
		if it.Kind == kind {
			return it.Data
		}
	}
	return nil
}

func acksItem(acks []chain.Ack) item {
	w := wire.NewWriter(2 + 256*len(acks))
	w.U8(uint8(len(acks)))
	for i := range acks {
		w.Blob(acks[i].Encode())
	}
	return item{itemAcks, w.Bytes()}
}

func decodeAcks(b []byte) (acks []chain.Ack, err error) {
	if b == nil {
		return nil, nil
	}
	r := wire.NewReader(b)
	n := int(r.U8())
	if n > maxAppendEntries {
		r.Fail("%d acks, limit %d", n, maxAppendEntries)
	}
	for i := 0; i < n && r.Err() == nil; i++ {
		a, err := chain.DecodeAck(r.Blob(512))
		if err != nil {
			return nil, err
		}
		acks = append(acks, *a)
	}
	return acks, r.Done()
}

func writeLink(w *wire.Writer, l chain.Link) { w.U64(l.Term); w.U64(l.Index); w.Fixed(l.Hash[:]) }

func readLinkOf(r *wire.Reader) (l chain.Link) {
	l.Term, l.Index = r.U64(), r.U64()
	r.Fixed(l.Hash[:])
	return l
}

func candidacyItem(last chain.Link, shown [32]byte) item {
	w := wire.NewWriter(80)
	writeLink(w, last)
	w.Fixed(shown[:])
	return item{itemCandidacy, w.Bytes()}
}

func decodeCandidacy(b []byte) (last chain.Link, shown [32]byte, err error) {
	r := wire.NewReader(b)
	last = readLinkOf(r)
	r.Fixed(shown[:])
	return last, shown, r.Done()
}

func preVoteItem(p *chain.PreVote, last chain.Link) item {
	w := wire.NewWriter(256)
	writeLink(w, last)
	w.Blob(p.Encode())
	return item{itemPreVote, w.Bytes()}
}

func readPreVote(p *reply) (*chain.PreVote, chain.Link, error) {
	r := wire.NewReader(find(p.Items, itemPreVote))
	last := readLinkOf(r)
	raw := r.Blob(512)
	if err := r.Done(); err != nil {
		return nil, last, errs.Wrap(errs.Unverified, err, "a pre-vote was granted without a signature")
	}
	v, err := chain.DecodePreVote(raw)
	return v, last, err
}

func sessionsItem(certs []*identity.SessionCert) item {
	w := wire.NewWriter(512 * len(certs))
	writeSessions(w, certs)
	return item{itemSessions, w.Bytes()}
}

func decodeSessionsItem(b []byte) ([]*identity.SessionCert, error) {
	r := wire.NewReader(b)
	certs := readSessions(r)
	return certs, r.Done()
}

// partialItem packs a beacon partial with its place in the log.
func partialItem(l link, partial []byte) item {
	w := wire.NewWriter(64 + len(partial))
	w.U64(l.index)
	w.U64(l.term)
	w.Fixed(l.chain[:])
	w.Blob(partial)
	return item{itemPartial, w.Bytes()}
}

func decodePartialItem(b []byte) (l link, partial []byte, err error) {
	r := wire.NewReader(b)
	l.index, l.term = r.U64(), r.U64()
	r.Fixed(l.chain[:])
	partial = bytes.Clone(r.Blob(1024))
	return l, partial, r.Done()
}
