package chain_test

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func at(index uint64, branch byte) chain.Tuple {
	return tuple(chain.Link{Term: 2, Index: index, Hash: [32]byte{branch, byte(index)}})
}

func TestCollector(t *testing.T) {
	w := newWorld(t)
	c := chain.NewCollector(lineage, w.book, 0)
	add := func(a chain.Ack) *chain.Certificate {
		t.Helper()
		got, err := c.Add(a)
		w.must(err)
		return got
	}
	for _, a := range []chain.Ack{w.ack(1, at(1, 0)), w.ack(1, at(1, 0)), w.ack(2, at(1, 0)), w.ack(3, at(1, 1)), w.ack(3, at(2, 0))} {
		if add(a) != nil {
			t.Fatal("certificate without three acks of one tuple")
		}
	}
	cert := add(w.ack(4, at(1, 0)))
	if cert == nil {
		t.Fatal("no certificate from three acks")
	}
	w.must(cert.Verify(w.book, lineage))
	if c.Highest() != cert.Tuple || c.Len() != 1 {
		t.Errorf("highest %v, %d acks kept", c.Highest(), c.Len())
	}
	if add(w.ack(3, at(1, 0))) != nil {
		t.Error("certified twice")
	}
	if n := len(cert.Encode()); n > 600 {
		t.Errorf("a certificate of three acks has %d bytes, limit 600", n)
	} else {
		t.Logf("certificate of %d bytes", n)
	}
}

// TestCollectorRefuses: bad acks leave no trace.
func TestCollectorRefuses(t *testing.T) {
	w := newWorld(t)
	good := w.ack(1, at(1, 0))
	for name, c := range map[string]struct {
		alter func(a *chain.Ack)
		code  errs.Code
	}{
		"lineage":         {func(a *chain.Ack) { a.Lineage[0]++ }, errs.Unverified},
		"index":           {func(a *chain.Ack) { a.Index++ }, errs.Unverified},
		"term":            {func(a *chain.Ack) { a.Term++ }, errs.Unverified},
		"hash":            {func(a *chain.Ack) { a.Hash[0]++ }, errs.Unverified},
		"time":            {func(a *chain.Ack) { a.At = a.At.Add(time.Second) }, errs.Unverified},
		"region":          {func(a *chain.Ack) { a.Region = 2 }, errs.Stale},
		"session":         {func(a *chain.Ack) { a.Session = w.ack(2, at(1, 0)).Session }, errs.Stale},
		"unknown session": {func(a *chain.Ack) { a.Session[0]++ }, errs.Stale},
		"signature":       {func(a *chain.Ack) { a.Sig[5]++ }, errs.Unverified},
		"another's":       {func(a *chain.Ack) { a.Sig = w.ack(2, at(1, 0)).Sig }, errs.Unverified},
		"an entry signature": {func(a *chain.Ack) {
			e, err := chain.SignEntry(w.signers[1], a.Tuple)
			w.must(err)
			a.Signature = e.Signature
		}, errs.Unverified},
		"a claim": {func(a *chain.Ack) {
			e, err := chain.SignClaim(w.signers[1], a.Tuple, a.At)
			w.must(err)
			a.Signature = e.Signature
		}, errs.Unverified},
	} {
		col := chain.NewCollector(lineage, w.book, 0)
		a := good
		c.alter(&a)
		_, err := col.Add(a)
		code(t, name, err, c.code)
		if col.Len() != 0 {
			t.Errorf("%s: kept", name)
		}
	}
}

// TestEarlierBoot: an ack of a session that ended is a replay; a certificate that holds
// it stays good.
func TestEarlierBoot(t *testing.T) {
	w := newWorld(t)
	old := []chain.Ack{w.ack(1, at(1, 0)), w.ack(2, at(1, 0)), w.ack(3, at(1, 0))}
	cert, err := chain.Certify(old)
	w.must(err)
	_, again := w.session(1, "reboot", noon.Add(time.Hour))
	w.must(w.book.Add(again))
	_, err = chain.NewCollector(lineage, w.book, 0).Add(old[0])
	code(t, "ack of an earlier boot", err, errs.Stale)
	w.must(cert.Verify(w.book, lineage))

	w.must(w.book.Add(w.certs[1])) // shown again, late: it does not become the newest
	_, err = chain.NewCollector(lineage, w.book, 0).Add(old[0])
	code(t, "old session certificate shown again", err, errs.Stale)

	_, foreign := w.session(2, "foreign", noon)
	foreign.Cluster[0]++
	code(t, "session of another cluster", w.book.Add(foreign), errs.Unauthenticated)
	_, forged := w.session(2, "forged", noon)
	forged.Region = 3
	code(t, "session signed by another region", w.book.Add(forged), errs.Unauthenticated)
	forged.Region = 9
	code(t, "session of no region", w.book.Add(forged), errs.Unauthenticated)
}

func TestCollectorRivals(t *testing.T) {
	w := newWorld(t)
	c := chain.NewCollector(lineage, w.book, 0)
	_, err := c.Add(w.ack(4, at(1, 0)))
	w.must(err)
	_, err = c.Add(w.ack(4, at(1, 1)))
	var rivals *chain.RivalAcks
	if !errors.As(err, &rivals) || errs.CodeOf(err) != errs.Unverified {
		t.Fatalf("rival ack: %v", err)
	}
	e := w.accuse(chain.RivalAckPair, 4, rivals.First.Encode(), rivals.Second.Encode())
	if f, err := chain.Convict(w.court(), e); err != nil || !f.Convicts {
		t.Errorf("%+v %v", f, err)
	}
}

// TestCollectorBounded: one region's flood pushes out nobody else's acks.
func TestCollectorBounded(t *testing.T) {
	w := newWorld(t)
	c := chain.NewCollector(lineage, w.book, 4)
	for _, r := range []identity.RegionID{1, 2} {
		_, err := c.Add(w.ack(r, at(1, 0)))
		w.must(err)
	}
	for i := range uint64(20) {
		_, err := c.Add(w.ack(4, at(100+i, 9)))
		w.must(err)
	}
	if c.Len() > 2+4 {
		t.Errorf("%d acks kept", c.Len())
	}
	if cert, err := c.Add(w.ack(3, at(1, 0))); err != nil || cert == nil {
		t.Errorf("the flood pushed out honest acks: %v", err)
	}
}

// TestCollectorOrder: in whatever order acks of honest regions and a liar arrive, all
// that is certified is on the chain the honest ones acked.
func TestCollectorOrder(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		c := chain.NewCollector(lineage, w.book, 8)
		last := uint64(0)
		for range rapid.IntRange(1, 40).Draw(t, "acks") {
			r := identity.RegionID(rapid.IntRange(1, 4).Draw(t, "region"))
			branch := byte(0)
			if r == 4 {
				branch = byte(rapid.IntRange(0, 1).Draw(t, "branch"))
			}
			cert, err := c.Add(w.ack(r, at(uint64(rapid.IntRange(1, 4).Draw(t, "index")), branch)))
			if err != nil && r != 4 {
				t.Fatal(err)
			}
			if cert == nil {
				continue
			}
			if err := cert.Verify(w.book, lineage); err != nil {
				t.Fatal(err)
			}
			if cert.Hash[0] != 0 || cert.Index <= last {
				t.Fatalf("certified %v after index %d", cert.Tuple, last)
			}
			last = cert.Index
		}
	})
}

func TestCertificateVerify(t *testing.T) {
	w := newWorld(t)
	good := func() *chain.Certificate {
		c, err := chain.Certify([]chain.Ack{w.ack(3, at(1, 0)), w.ack(1, at(1, 0)), w.ack(2, at(1, 0))})
		w.must(err)
		return c
	}
	w.must(good().Verify(w.book, lineage))
	five := chain.NewBook(clusterID, w.pins, 5)
	for _, s := range w.certs {
		w.must(five.Add(s))
	}
	for name, c := range map[string]*chain.Certificate{
		"two signatures":    {Tuple: at(1, 0), Witnesses: good().Witnesses[:2]},
		"two of one region": {Tuple: at(1, 0), Witnesses: []chain.Witness{good().Witnesses[0], good().Witnesses[0], good().Witnesses[1]}},
		"out of order":      {Tuple: at(1, 0), Witnesses: []chain.Witness{good().Witnesses[1], good().Witnesses[0], good().Witnesses[2]}},
		"of another tuple":  {Tuple: at(2, 0), Witnesses: good().Witnesses},
		"no signatures":     {Tuple: at(1, 0)},
	} {
		refused(t, name, c.Verify(w.book, lineage), true)
	}
	refused(t, "lineage", good().Verify(w.book, [32]byte{1}), true)
	refused(t, "three of five", good().Verify(five, lineage), true)
	if _, err := chain.Certify([]chain.Ack{w.ack(1, at(1, 0)), w.ack(2, at(1, 1)), w.ack(3, at(1, 0))}); err == nil {
		t.Error("acks of different tuples add up")
	}
	second, cert := w.session(1, "second", noon.Add(time.Minute))
	w.must(w.book.Add(cert))
	a, err := chain.SignAck(second, at(1, 0), noon)
	w.must(err)
	if _, err := chain.Certify([]chain.Ack{w.ack(1, at(1, 0)), a, w.ack(2, at(1, 0))}); err == nil {
		t.Error("two sessions of one region count twice")
	}
}

func TestQuorum(t *testing.T) {
	for n, want := range map[int]int{4: 3, 5: 4} {
		if got := chain.Quorum(n); got != want {
			t.Errorf("%d regions need %d, want %d", n, got, want)
		}
	}
	for n := 4; n <= 8; n++ {
		if q := chain.Quorum(n); 2*q-n < 2 || q > n-1 {
			t.Errorf("%d of %d: two quorums share no honest region, or one silent region stops all", q, n)
		}
	}
}
