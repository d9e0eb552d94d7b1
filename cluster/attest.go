package cluster

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

const attestWait = 10 * time.Second // for the others to reach the same mark

func (c *Cluster) attestedMembers(conf raft.Configuration) (out []chain.Member) {
	for _, s := range conf.Servers {
		out = append(out, chain.Member{ServerID: string(s.ID), Region: c.transport.d.regionOf(s.ID), Address: string(s.Address), Voter: s.Suffrage == raft.Voter})
	}
	slices.SortFunc(out, func(a, b chain.Member) int { return strings.Compare(a.ServerID, b.ServerID) })
	return out
}

// attested gathers a quorum's signatures over the state at a mark. Without them there is
// no snapshot: nobody could install it, and the log behind it would be gone.
func (c *Cluster) attested(k *mark) (*chain.SnapshotProof, error) {
	a, err := c.attestation(k)
	if err != nil {
		return nil, err
	}
	own, err := chain.Attest(c.book.signer, a)
	if err != nil {
		return nil, err
	}
	ask := (&chain.SnapshotProof{Attestation: *a, Signatures: []chain.Signature{own}}).Encode()
	sigs := c.askAttesters(a, ask)
	if need := chain.Quorum(c.book.roster.Regions()); len(sigs)+1 < need {
		return nil, errs.New(errs.NotReady, "snapshot at %d: %d regions vouch for it, %d must", k.at.index, len(sigs)+1, need).
			WithHint("three regions must be up; the log is compacted later")
	}
	return chain.Attested(*a, append(sigs, own))
}

// askAttesters asks the other members at once, and returns when enough have signed.
func (c *Cluster) askAttesters(a *chain.Attestation, ask []byte) (sigs []chain.Signature) {
	ctx, cancel := context.WithTimeout(c.ctx, attestWait)
	defer cancel()
	var mu sync.Mutex
	var wg sync.WaitGroup
	have := map[identity.RegionID]bool{c.book.self: true}
	for _, m := range c.Members() {
		if m.Region == c.book.self {
			continue
		}
		wg.Go(func() {
			s, err := c.askAttester(ctx, m, a, ask)
			if err != nil {
				c.log.Debug("no attestation", slog.Int("region", int(m.Region)), slog.String("error", err.Error()))
				return
			}
			mu.Lock()
			defer mu.Unlock()
			if !have[s.Region] {
				have[s.Region] = true
				sigs = append(sigs, *s)
			}
			if len(sigs)+1 >= chain.Quorum(c.book.roster.Regions()) {
				cancel()
			}
		})
	}
	wg.Wait()
	return sigs
}

func (c *Cluster) askAttester(ctx context.Context, m Member, a *chain.Attestation, ask []byte) (*chain.Signature, error) {
	q := &request{Kind: kindAttest, Header: c.transport.header(), Items: []item{{itemAttestation, ask}}}
	p, conn, err := c.transport.callUntil(ctx, raft.ServerID(m.ServerID), raft.ServerAddress(m.Addr), q, attestWait, nil)
	if err != nil {
		return nil, err
	}
	s, err := chain.DecodeSignature(find(p.Items, itemAttestation))
	if err == nil && s.Region != conn.peer.region {
		err = errs.New(errs.Unverified, "region %d signed in another's name", conn.peer.region)
	}
	if err == nil {
		err = chain.VerifyAttester(c.book.roster, a, s)
	}
	return s, err
}

// serveAttest signs another region's attestation if it is word for word the own one.
func (c *Cluster) serveAttest(ctx context.Context, from remote, q *request) *reply {
	theirs, err := chain.DecodeSnapshotProof(find(q.Items, itemAttestation))
	if err != nil {
		return c.fail(err)
	}
	ctx, cancel := context.WithTimeout(ctx, attestWait/2)
	defer cancel()
	if err := c.replica.wait(ctx, theirs.Index); err != nil {
		return c.fail(err)
	}
	k := c.marks.at(theirs.Index)
	if k == nil {
		return c.fail(errs.New(errs.NotFound, "the state at %d is not at hand here", theirs.Index))
	}
	own, err := c.attestation(k)
	if err != nil {
		return c.fail(err)
	}
	mine, yours := chain.SnapshotProof{Attestation: *own}, chain.SnapshotProof{Attestation: theirs.Attestation}
	if !bytes.Equal(mine.Encode(), yours.Encode()) && liar.Defends(liar.Attesting) {
		c.alarms.Add(1)
		c.note(slog.LevelError, from.region, "another region's state differs from the own one", slog.Uint64("index", theirs.Index))
		return c.fail(errs.New(errs.Unverified, "the state at %d is another here", theirs.Index))
	}
	if !liar.Defends(liar.Attesting) {
		own = &theirs.Attestation
	}
	s, err := chain.Attest(c.book.signer, own)
	if err != nil {
		return c.fail(err)
	}
	return &reply{Header: c.transport.header(), Code: errs.OK, Yes: true, Items: []item{{itemAttestation, s.Encode()}}}
}

// offer is what goes along with a snapshot: this region's signed word that it sends it,
// over the proof of those who vouch for it.
func (c *Cluster) offer(s *raft.InstallSnapshotRequest) (item, error) {
	v, err := c.snapshots.goodVoucher(link{index: s.LastLogIndex, term: s.LastLogTerm})
	if err != nil {
		return item{}, err
	}
	o, err := chain.SignOffer(c.book.signer, v.Proof.Tuple, v.Proof.Encode())
	if err != nil {
		return item{}, err
	}
	return offerItem(&o, v), nil
}

func offerItem(o *chain.Offer, v *voucher) item {
	w := wire.NewWriter(4096)
	w.Blob(o.Encode())
	w.Blob(v.encode())
	return item{itemSnapshotProof, w.Bytes()}
}

// offered reads and judges what came along with a snapshot.
func (c *Cluster) offered(from remote, s *raft.InstallSnapshotRequest, items []item) (*voucher, error) {
	r := wire.NewReader(find(items, itemSnapshotProof))
	rawOffer, raw := r.Blob(512), bytes.Clone(r.Blob(maxVoucher))
	v, err := decodeVoucher(raw)
	if err := errors.Join(r.Done(), err); err != nil {
		return nil, errs.Wrap(errs.Unverified, err, "region %d sent a snapshot without a proof", from.region)
	}
	for _, cert := range v.Sessions {
		c.book.roster.add(cert)
	}
	proof := v.Proof.Encode()
	o, err := chain.DecodeOffer(rawOffer)
	if err == nil && (o.Region != from.region || o.Lineage != c.cfg.Lineage) {
		err = errs.New(errs.Unverified, "region %d does not stand by the snapshot it sends", from.region)
	}
	if err == nil {
		err = o.Verify(c.book.roster, proof)
	}
	if err != nil {
		return nil, err
	}
	if err = v.judge(c.book.roster, c.cfg.Lineage); err == nil && v.Proof.Tuple != o.Tuple {
		err = errs.New(errs.Unverified, "the proof is of another snapshot")
	}
	if err != nil {
		c.accuseSnapshot(from.region, o, proof)
		return nil, err
	}
	return v, c.announced(s, v.Proof)
}

// announced wants raft's announcement to be what the regions signed.
func (c *Cluster) announced(s *raft.InstallSnapshotRequest, p *chain.SnapshotProof) error {
	conf, err := decodeConfiguration(s.Configuration)
	if err != nil {
		return err
	}
	if s.LastLogIndex != p.Index || s.LastLogTerm != p.Term || s.ConfigurationIndex != p.ConfigIndex || !slices.Equal(c.attestedMembers(conf), p.Members) {
		return errs.New(errs.Unverified, "snapshot at %d is announced with another place or membership than was attested", s.LastLogIndex)
	}
	return nil
}
