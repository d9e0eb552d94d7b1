package cluster

import (
	"bytes"
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// What a leader may keep from a region, each with what stands before it.
const (
	KeepEntries = iota // entries, commit news and snapshots
	KeepWords          // certificates and the others' acks as well
	KeepAll            // everything
	KeepNews           // what is certified, but not the entries
)

// Starve has a leader keep things from one region; it is nil to end that.
func Starve(leader *Cluster, victim identity.RegionID, what int) {
	keep := func(to remote, q *request) bool {
		if to.region != victim {
			return true
		}
		if what >= KeepWords {
			items := q.Items[:0:0]
			for _, it := range q.Items {
				if it.Kind != itemCertificate && it.Kind != itemAcks {
					items = append(items, it)
				}
			}
			q.Items = items
		}
		if what == KeepNews {
			return q.Kind != kindNudge
		}
		_, _, speaks := spokenFor(q)
		return !speaks || what < KeepAll && q.Kind == kindAppend && len(q.Append.Entries) == 0
	}
	leader.transport.lie.Store(&keep)
}

// Late has a leader's entries arrive late at one region.
func Late(leader *Cluster, victim identity.RegionID, by func() time.Duration) {
	late := func(to remote, q *request) bool {
		if to.region == victim && q.Kind == kindAppend && len(q.Append.Entries) > 0 {
			sleep(leader.ctx, by(), nil)
		}
		return true
	}
	leader.transport.lie.Store(&late)
}

// EndLie has a node send what it would.
func EndLie(c *Cluster) { c.transport.lie.Store(nil) }

// Feed has a node answer starved regions falsely, and counts how often it is asked.
func Feed(c *Cluster, how string) *atomic.Int64 {
	asked := &atomic.Int64{}
	lie := func(ctx context.Context, _ remote, q *request, p *reply) {
		if q.Kind != kindFetch && q.Kind != kindPiece {
			return
		}
		asked.Add(1)
		c.feedFalsely(ctx, how, p)
	}
	c.server.lie.Store(&lie)
	return asked
}

// FeedRivals has a node answer with entries of its own beside the true certificate, and
// counts how often the victim had acked what was certified.
func FeedRivals(c, victim *Cluster, told *atomic.Int64) {
	lie := func(ctx context.Context, _ remote, q *request, p *reply) {
		cert, err := chain.DecodeCertificate(find(p.Items, itemCertificate))
		if q.Kind != kindFetch || err != nil {
			return
		}
		if l, ok := victim.book.own.At(cert.Index); ok && l == cert.Link && HighestAcked(victim).Index >= cert.Index {
			told.Add(1)
		}
		p.Items = slices.DeleteFunc(p.Items, func(it item) bool { return it.Kind == itemAcks })
		c.feedFalsely(ctx, "well-formed rivals", p)
	}
	c.server.lie.Store(&lie)
}

func (c *Cluster) feedFalsely(ctx context.Context, how string, p *reply) {
	change := func(kind uint8, to func([]byte) []byte) {
		for i := range p.Items {
			if p.Items[i].Kind == kind {
				p.Items[i].Data = to(bytes.Clone(p.Items[i].Data))
			}
		}
	}
	switch how {
	case "silent":
		<-ctx.Done()
	case "slow":
		sleep(ctx, c.transport.beat*3/2, nil)
	case "dripping": // the snapshot
		change(itemPiece, func(b []byte) []byte { sleep(ctx, c.transport.beat*3/2, nil); return b[:1] })
	case "unhurried":
		sleep(ctx, 200*time.Millisecond, nil)
	case "garbage":
		change(itemEntries, func(b []byte) []byte { return bytes.Repeat([]byte{0xa5}, len(b)) })
		change(itemPiece, func(b []byte) []byte { return bytes.Repeat([]byte{0xa5}, len(b)) })
	case "huge":
		p.Items = append(p.Items, item{itemEntries, make([]byte, maxItem)}, item{itemEntries, make([]byte, maxItem)})
	case "no certificate":
		change(itemCertificate, func([]byte) []byte { return nil })
	case "forged certificate":
		change(itemCertificate, func(b []byte) []byte { b[len(b)-3] ^= 1; return b })
	case "other entries":
		change(itemEntries, c.otherEntries)
	case "well-formed rivals":
		change(itemEntries, func(b []byte) []byte {
			return c.ownEntries(b, func(e *raft.Log) { e.Type, e.Data = raft.LogNoop, nil })
		})
	case "nothing":
		p.Items = nil
	case "refusal":
		p.Code, p.Text = errs.Throttled, "not now"
	case "forged offer":
		change(itemSnapshotProof, c.forgedOffer)
	case "forged words":
		change(itemAcks, func(b []byte) []byte { b[len(b)-3] ^= 1; return b })
		change(itemProof, func(b []byte) []byte { b[len(b)-3] ^= 1; return b })
	}
}

// forgedOffer stands by a snapshot that nobody signed.
func (c *Cluster) forgedOffer(b []byte) []byte {
	r := wire.NewReader(b)
	r.Blob(512)
	v, err := decodeVoucher(bytes.Clone(r.Blob(maxVoucher)))
	if err != nil {
		return b
	}
	v.Proof.State[0] ^= 1
	o, err := chain.SignOffer(c.book.signer, v.Proof.Tuple, v.Proof.Encode())
	if err != nil {
		return b
	}
	return offerItem(&o, v).Data
}

// otherEntries are entries whose bytes were changed, on a chain of their own.
func (c *Cluster) otherEntries(b []byte) []byte {
	return c.ownEntries(b, func(e *raft.Log) {
		if e.Type == raft.LogCommand {
			e.Data = append(bytes.Clone(e.Data), 1)
		}
	})
}

// ownEntries are entries after a change, on a chain of their own and signed here.
func (c *Cluster) ownEntries(b []byte, change func(*raft.Log)) []byte {
	entries, err := decodeEntries(b)
	if err != nil || len(entries) == 0 {
		return b
	}
	prev, _ := c.chain.at(entries[0].Index - 1)
	hash := prev.chain
	for _, e := range entries {
		change(e)
		x, _ := DecodeExtension(e.Extensions)
		hash = ChainHash(hash, e.Term, e.Index, e.Type, dataHash(e))
		x.Chain = hash
		if s, err := chain.SignEntry(c.book.signer, c.book.tuple(chain.Link{Term: e.Term, Index: e.Index, Hash: hash})); err == nil {
			x.Signature = &s.Signature
		}
		e.Extensions = x.Encode()
	}
	return entriesItem(entries).Data
}

// AskFor asks a node for entries after an index, as another does, and returns how many
// bytes came.
func AskFor(c *Cluster, of *Cluster, after uint64) (int, error) {
	q := &request{Kind: kindFetch, Fetch: &fetch{after}}
	p, _, err := c.ask(Member{Region: of.book.self, ServerID: string(of.self()), Addr: of.cfg.RaftAddr}, q)
	if err != nil {
		return 0, err
	}
	return len(find(p.Items, itemEntries)), nil
}

// Fetch asks a node for entries after an index.
func (l *Liar) Fetch(id raft.ServerID, addr string, after uint64) (code errs.Code) {
	_, _, err := l.t.call(id, raft.ServerAddress(addr), &request{Kind: kindFetch, Header: l.t.header(), Fetch: &fetch{after}}, time.Second, nil)
	return errs.CodeOf(err)
}

// Acked is the highest place a node acked in its present boot.
func HighestAcked(c *Cluster) chain.Tuple {
	c.book.mu.Lock()
	defer c.book.mu.Unlock()
	return c.book.acked
}

// FetchForms are what goes to and from a starved region, encoded.
func FetchForms() map[string][]byte {
	out := map[string][]byte{}
	requests := SampleRequests()
	for i, name := range []string{"question", "question for a piece"} {
		out[name] = requests[len(requests)-2+i]
	}
	for _, s := range Samples() {
		if s.Kind == "entries" || s.Kind == "snapshot on offer" {
			out[s.Kind] = s.Bytes
		}
	}
	return out
}

func recodeFetched(kind string, b []byte) ([]byte, error) {
	switch kind {
	case "entries":
		entries, err := decodeEntries(b)
		if err != nil {
			return nil, err
		}
		return entriesItem(entries).Data, nil
	case "snapshot on offer":
		s, err := decodeSnapshotItem(b)
		if err != nil {
			return nil, err
		}
		return snapshotItem(s).Data, nil
	}
	return nil, errs.New(errs.NotFound, "no form %q", kind)
}

// Hunger tells at some time after its start whether a region at an index starves.
func Hunger() func(at time.Duration, floor uint64, lacks, wordless, spooling bool) bool {
	start := time.Now()
	h := &hunger{moved: start, level: start, even: start, spool: fetchSpool}
	return func(at time.Duration, floor uint64, lacks, wordless, spooling bool) bool {
		return h.starves(start.Add(at), glance{floor, lacks, wordless, false, spooling})
	}
}
