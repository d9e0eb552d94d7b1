package cluster

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/liar"
)

// book is this region's side of the rules in package chain: what it signed, what others
// signed to it, and what follows. Its record of the term is on disk, everything else in
// memory. mu guards maps only; the turn for a change of the record is a channel, because
// it waits for the disk.
type book struct {
	lineage  [32]byte
	self     identity.RegionID
	signer   *chain.Signer
	roster   *roster
	own      chain.Log
	quiet    func(index uint64) bool // an entry that the machine never sees
	founding chain.Link
	store    func(key, value []byte) error
	now      func() time.Time

	turn chan struct{}
	rec  atomic.Pointer[record]

	mu        sync.Mutex
	clock     time.Time // highest own time signed
	collector *chain.Collector
	certs     map[uint64]*chain.Certificate // recent ones on the own log, by index
	lowest    uint64                        // of certs
	floor     chain.Link                    // highest certified on the own log
	ahead     *chain.Certificate            // highest one the own log does not reach
	allowed   uint64                        // how far raft was let commit: what it stores now may not be in floor yet
	applied   uint64                        // all up to here is certified and carried out
	moved     signal                        // applied did
	acked     chain.Tuple                   // highest own ack of this boot
	follower  uint64                        // as leader: highest index of this term that a follower acked
	unapplied []heard                       // own acks of what is not applied, oldest first
	heard     map[identity.RegionID]*hearing
	renewed   time.Time
	latest    chain.Ack // own, of the newest entry at its time
	ownAck    chain.Ack // as leader: the newest renewed one
	election  election
	fences    map[identity.RegionID]uint64 // term in which nothing of it is heard
	convictions
	passed  map[identity.RegionID]time.Time // nobody votes for it until then
	tally   signal                          // an election moved on
	tried   attempts                        // to settle rivals
	granted time.Time                       // when this region voted for somebody last
	news    signal                          // a certificate came
}

// heard is an ack as leases see it.
type heard struct {
	at    time.Time // its signer's clock
	index uint64
}

// election is what a candidate has gathered for one term.
type election struct {
	term     uint64
	prevotes map[identity.RegionID]chain.PreVote
	handover *chain.Handover
	votes    map[identity.RegionID]chain.Vote
	seen     map[identity.RegionID]chain.Link // last links that others told with their pre-votes
}

func newBook(self identity.RegionID, signer *chain.Signer, lineage [32]byte, r *roster) *book {
	return &book{lineage: lineage, self: self, signer: signer, roster: r, turn: make(chan struct{}, 1),
		collector: chain.NewCollector(lineage, r, 0), certs: map[uint64]*chain.Certificate{},
		heard: map[identity.RegionID]*hearing{}, fences: map[identity.RegionID]uint64{}, passed: map[identity.RegionID]time.Time{}, convictions: newConvictions()}
}

// resume takes up where the last boot left off. What the log holds counts as acked long
// ago.
func (b *book) resume(rec *record, raftTerm uint64) {
	for _, cert := range rec.Sessions {
		b.roster.add(cert)
	}
	if rec.Next.Term() > rec.Term && rec.Next.Term() == raftTerm { // raft was there already
		rec = &record{Term: raftTerm, Why: rec.Next, Proof: rec.Next.Proof, Sessions: rec.Sessions}
	}
	b.rec.Store(rec)
	if last := b.own.Last(); last.Index > 0 {
		b.unapplied = []heard{{index: last.Index}}
	}
}

// covers reports whether an entry that raft calls committed is certified.
func (b *book) covers(index uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return index <= b.floor.Index
}

// known returns the highest index of any certificate seen, also ahead of the own log.
func (b *book) known() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ahead != nil {
		return max(b.floor.Index, b.ahead.Index)
	}
	return b.floor.Index
}

// allow notes how far raft is let commit with what it is about to store.
func (b *book) allow(index uint64) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.allowed = max(b.allowed, index)
	return index
}

// committable reports whether raft may hand an entry to the machine.
func (b *book) committable(index uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return index <= max(b.floor.Index, b.allowed) || !liar.Defends(liar.Applying)
}

// tick is the own clock for what is signed: it never goes back within a boot.
func (b *book) tick() time.Time {
	b.clock = later(b.clock, b.now().UTC().Truncate(time.Millisecond))
	return b.clock
}

func (b *book) tuple(l chain.Link) chain.Tuple { return chain.Tuple{Lineage: b.lineage, Link: l} }

// fence stops hearing a region for a term.
func (b *book) fence(region identity.RegionID, term uint64) (news bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	news = b.fences[region] < term
	b.fences[region] = max(b.fences[region], term)
	return news
}

func (b *book) fenced(region identity.RegionID, term uint64) bool {
	b.mu.Lock()
	fenced, noted := term > 0 && b.fences[region] == term, term > 0 && b.noted[region] == term
	b.mu.Unlock()
	return fenced || noted && b.guilty(region)
}

// passOver has nobody here vote for a region for a while.
func (b *book) passOver(region identity.RegionID, until time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.passed[region] = until
}

// ownLog is the own log as the rules see it.
type ownLog struct {
	chain *chainStore
	book  *book
}

var _ chain.Log = ownLog{}

func (l ownLog) At(index uint64) (chain.Link, bool) {
	at, ok := l.chain.at(index)
	return at.place(), ok
}

func (l ownLog) Last() chain.Link {
	at, _ := l.chain.at(l.chain.links.tail())
	return at.place()
}

func (l ownLog) Floor() uint64 {
	l.book.mu.Lock()
	defer l.book.mu.Unlock()
	return l.book.floor.Index
}
