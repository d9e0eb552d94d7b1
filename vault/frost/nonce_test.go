package frost

import (
	"bytes"
	"crypto/rand"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestReusedNonceGivesTheKeyAway does what the pool prevents. Region 1 signs two messages
// with one nonce (the pool is put back by hand, as a cloned memory would); from the two
// parts anybody computes its share, and two shares so extracted are the key.
func TestReusedNonceGivesTheKeyAway(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		var stolen []scalar
		for _, victim := range []uint8{1, 3} {
			x := extractShare(t, w, victim)
			if !s.group.base(x).equal(w.shares[victim].public) {
				t.Fatalf("%v: the attack on region %d found another share", s, victim)
			}
			stolen = append(stolen, x)
		}
		l := s.lagrange([]uint8{1, 3})
		key := s.group.mulAdd(l[0], stolen[0], s.mul(l[1], stolen[1]))
		if !s.group.base(key).equal(w.key.root) {
			t.Fatalf("%v: two extracted shares do not give the key", s)
		}
	}
}

// extractShare makes victim sign twice with one nonce and one set of commitments. With
// z = ±(d + rho*e) + c*lambda*(±x) for two messages, d and e drop out of a pair of
// differences only if rho is the same, so the attacker uses three messages and solves
// three linear equations.
func extractShare(t *testing.T, w *world, victim uint8) scalar {
	t.Helper()
	s := w.key.suite
	cs := w.commit(t, []uint8{victim, 4})
	var rows [3][4]scalar
	for i := range rows {
		restored := clonePool(w.pools[victim]) // the memory as it was before signing
		part, err := restored.Sign(w.shares[victim], w.key, message(i), cs)
		must(t, err)
		r, err := w.key.newRound(message(i), cs)
		must(t, err)
		at := r.indexOf(victim)
		one, rho, k := s.group.number(1), r.rho[at], s.mul(r.c, r.lambda[at])
		if r.negateR {
			one, rho = s.group.negate(one), s.group.negate(rho)
		}
		if r.negateKey {
			k = s.group.negate(k)
		}
		rows[i] = [4]scalar{one, rho, k, readScalarOf(t, s, part.z)}
	}
	return solve(s, rows)
}

func clonePool(p *Pool) *Pool {
	c := &Pool{suite: p.suite, region: p.region, boot: p.boot, fresh: map[uint32]*nonce{}}
	zero, add := p.suite.group.number(0), p.suite.group.add
	for serial, n := range p.fresh {
		c.fresh[serial] = &nonce{hiding: add(n.hiding, zero), binding: add(n.binding, zero), commitment: n.commitment}
	}
	return c
}

// solve eliminates the first two unknowns and returns the third.
func solve(s *Suite, m [3][4]scalar) scalar {
	g := s.group
	for col := range 3 {
		inv := g.inverse(m[col][col])
		for j := range m[col] {
			m[col][j] = s.mul(m[col][j], inv)
		}
		for row := range 3 {
			if row == col {
				continue
			}
			f := g.negate(m[row][col])
			for j := range m[row] {
				m[row][j] = g.mulAdd(f, m[col][j], m[row][j])
			}
		}
	}
	return m[2][3]
}

// The guard: the same calls on the pool as it is.
func TestNonceSignsOnce(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		cs := w.commit(t, []uint8{1, 4})
		if _, err := w.pools[1].Sign(w.shares[1], w.key, message(1), cs); err != nil {
			t.Fatal(err)
		}
		for name, msg := range map[string][]byte{"another message": message(2), "the same message": message(1)} {
			if _, err := w.pools[1].Sign(w.shares[1], w.key, msg, cs); errs.CodeOf(err) != errs.Replayed {
				t.Errorf("%v: %s: %v", s, name, err)
			}
		}
		other := w.commit(t, []uint8{2})
		if _, err := w.pools[1].Sign(w.shares[1], w.key, message(1), []*Commitment{cs[0], other[0]}); errs.CodeOf(err) != errs.Replayed {
			t.Errorf("%v: used with another signer: %v", s, err)
		}
		child, _, err := w.key.Child([32]byte{1}, 0)
		must(t, err)
		if _, err := w.pools[1].Sign(w.shares[1], child, message(1), cs); errs.CodeOf(err) != errs.Replayed {
			t.Errorf("%v: used under a child key: %v", s, err)
		}
		if w.pools[4].Len() != 1 {
			t.Errorf("%v: region 4's nonce is gone", s)
		}
	}
}

// 1000 different messages race for one nonce; one wins, and its part is right.
func TestNonceRace(t *testing.T) {
	for _, s := range suites[:few(2)] { // Ed25519 always with all thousand
		w := newWorld(t, s, 2, rand.Reader)
		cs := w.commit(t, []uint8{1, 4})
		var won atomic.Int32
		var start, done sync.WaitGroup
		start.Add(1)
		for i := range 1000 {
			done.Go(func() {
				start.Wait()
				part, err := w.pools[1].Sign(w.shares[1], w.key, message(i), cs)
				if err == nil {
					won.Add(1)
					if err := w.key.CheckShare(message(i), cs, part); err != nil {
						t.Error(err)
					}
				} else if errs.CodeOf(err) != errs.Replayed {
					t.Error(err)
				}
			})
		}
		start.Done()
		done.Wait()
		if won.Load() != 1 {
			t.Fatalf("%v: %d parts made with one nonce", s, won.Load())
		}
	}
}

// Preparing, signing, burning and closing at once neither race nor reuse.
func TestPoolClosesUnderLoad(t *testing.T) {
	w := newWorld(t, Ed25519, 2, rand.Reader)
	pool := w.pools[1]
	other := w.commit(t, []uint8{4})[0]
	var done sync.WaitGroup
	for range 8 {
		done.Go(func() {
			for range 50 {
				cs, err := pool.Prepare(rand.Reader, 2)
				if err != nil {
					if errs.CodeOf(err) != errs.BadState {
						t.Error(err)
					}
					return
				}
				part, err := pool.Sign(w.shares[1], w.key, message(1), []*Commitment{cs[0], other})
				if err == nil && w.key.CheckShare(message(1), []*Commitment{cs[0], other}, part) != nil {
					t.Error("a part made while the pool closed is wrong")
				}
				pool.Burn(cs[1])
			}
		})
	}
	done.Go(pool.Close)
	done.Wait()
	if pool.Len() != 0 || !bytes.Equal(pool.hedge, make([]byte, minHedge)) {
		t.Fatal("secrets left after Close")
	}
	if _, err := pool.Prepare(rand.Reader, 1); errs.CodeOf(err) != errs.BadState {
		t.Fatalf("Prepare after Close: %v", err)
	}
}

// A refused request leaves the nonce where it is: nothing was computed with it.
func TestRefusalKeepsTheNonce(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		stranger := newWorld(t, s, 2, rand.Reader)
		cs := w.commit(t, []uint8{1, 2, 4})
		before := w.pools[1].Len()
		child, _, err := stranger.key.Child([32]byte{}, 1)
		must(t, err)
		for name, c := range map[string]struct {
			key         *PublicKey
			msg         []byte
			commitments []*Commitment
			code        errs.Code
		}{
			"foreign key":       {stranger.key, message(1), cs, errs.Corrupt},
			"child of foreign":  {child, message(1), cs, errs.Corrupt},
			"alone":             {w.key, message(1), cs[:1], errs.Invalid},
			"nobody":            {w.key, message(1), nil, errs.Invalid},
			"without this one":  {w.key, message(1), cs[1:], errs.Denied},
			"one region twice":  {w.key, message(1), []*Commitment{cs[0], cs[0]}, errs.Invalid},
			"message too large": {w.key, make([]byte, maxMessage+1), cs, errs.TooLarge},
		} {
			_, err := w.pools[1].Sign(w.shares[1], c.key, c.msg, c.commitments)
			wants(t, fmt.Sprintf("%v: %s", s, name), err, c.code)
		}
		if w.pools[1].Len() != before {
			t.Errorf("%v: a refusal used a nonce up", s)
		}
		if _, err := w.pools[1].Sign(w.shares[1], w.key, message(1), cs); err != nil {
			t.Errorf("%v: after the refusals: %v", s, err)
		}
	}
}

// The nonce's scalars are zero as soon as the part is computed.
func TestSigningWipesTheNonce(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		cs := w.commit(t, []uint8{1, 4})
		n := w.pools[1].fresh[cs[0].serial]
		_, err := w.pools[1].Sign(w.shares[1], w.key, message(1), cs)
		must(t, err)
		if !n.hiding.isZero() || !n.binding.isZero() {
			t.Errorf("%v: nonce left in memory after signing", s)
		}
		cs = w.commit(t, []uint8{1})
		n = w.pools[1].fresh[cs[0].serial]
		w.pools[1].Burn(cs[0])
		if !n.hiding.isZero() || !n.binding.isZero() {
			t.Errorf("%v: nonce left in memory after burning", s)
		}
	}
}

// Even under a source that always says zero, every scalar is another one: by region, by
// serial, by nonce epoch, hiding or binding.
func TestNoncesAreHedged(t *testing.T) {
	for _, s := range suites {
		seen := map[string]bool{}
		for _, p := range []*Pool{newPool(t, s, 1, 1), newPool(t, s, 2, 1), newPool(t, s, 1, 2)} {
			cs, err := p.Prepare(zeros{}, 3)
			must(t, err)
			for _, c := range cs {
				seen[string(c.hiding.bytes())], seen[string(c.binding.bytes())] = true, true
			}
			if _, err := p.Prepare(iotest.ErrReader(errors.New("broken")), 1); errs.CodeOf(err) != errs.Internal {
				t.Errorf("%v: broken source: %v", s, err)
			}
		}
		if len(seen) != 3*3*2 {
			t.Errorf("%v: %d scalars out of nothing random, want 18 different ones", s, len(seen))
		}
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestPoolIsBounded(t *testing.T) {
	w := newWorld(t, Ed25519, 2, rand.Reader)
	for _, n := range []int{-1, 0, maxPool + 1} {
		if _, err := w.pools[1].Prepare(rand.Reader, n); errs.CodeOf(err) != errs.TooLarge {
			t.Errorf("%d nonces: %v", n, err)
		}
	}
	if _, err := w.pools[1].Prepare(rand.Reader, maxPool); err != nil {
		t.Fatal(err)
	}
	if _, err := w.pools[1].Prepare(rand.Reader, 1); errs.CodeOf(err) != errs.TooLarge {
		t.Errorf("one more than the limit: %v", err)
	}
}

// No printing verb, JSON or gob shows a share, a nonce or a dealt value.
func TestSecretsDoNotPrint(t *testing.T) {
	for _, s := range suites {
		all := beginAll(t, NewKey(s, session("print"), "test", 2, fourRegions()), nil, rand.Reader)
		exchange(t, all)
		d, err := all[1].Dealt(2)
		must(t, err)
		secrets := [][]byte{d.value.bytes(), all[1].coefficients[0].bytes()}
		objects := []any{d, *d, all[1]}
		w := newWorld(t, s, 2, rand.Reader)
		w.commit(t, []uint8{1})
		for _, n := range w.pools[1].fresh {
			secrets = append(secrets, n.hiding.bytes(), n.binding.bytes())
			objects = append(objects, n)
		}
		secrets = append(secrets, w.shares[1].secret.bytes())
		objects = append(objects, w.shares[1], w.pools[1], w.key)
		secrets = append(secrets, w.pools[1].hedge)
		for _, o := range objects {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
				hides(t, fmt.Sprintf(verb, o), secrets)
			}
			text, _ := json.Marshal(o)
			hides(t, string(text), secrets)
			var b bytes.Buffer
			if gob.NewEncoder(&b).Encode(o) == nil {
				t.Errorf("gob encodes %T", o)
			}
		}
	}
}

func hides(t *testing.T, text string, secrets [][]byte) {
	t.Helper()
	for _, secret := range secrets {
		reversed := slices.Clone(secret)
		slices.Reverse(reversed)
		for _, b := range [][]byte{secret, reversed} {
			for _, form := range []string{fmt.Sprintf("%x", b), fmt.Sprintf("%X", b), string(b), fmt.Sprint(b)} {
				if strings.Contains(text, form) {
					t.Fatalf("a secret stands in %q", text)
				}
			}
		}
	}
}
