package fsm

import (
	"crypto/sha256"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Verifier remembers signatures that verified, so that a node checks each once: in
// parallel from admission on (Warm), and for nothing in Apply. Safe for concurrent use.
type Verifier struct {
	half     int
	mu       sync.Mutex
	now, old map[[32]byte]struct{} // two generations: a full one pushes the older out
	running  map[[32]byte]*check
}

// check is one verification under way. Its result is set before done is closed.
type check struct {
	done chan struct{}
	ok   bool
}

// NewVerifier returns a verifier that remembers at least the last capacity/2 and at most
// capacity signatures.
func NewVerifier(capacity int) *Verifier {
	return &Verifier{half: max(capacity/2, 1), now: map[[32]byte]struct{}{}, running: map[[32]byte]*check{}}
}

// Verify reports whether sig is pub's signature of msg. What somebody else is checking at
// this moment is waited for. Only what verified is remembered, under a hash of key,
// message and signature together.
func (v *Verifier) Verify(pub identity.PublicKey, msg, sig []byte) bool {
	k := verified(pub, msg, sig)
	c, mine := v.claim(k)
	switch {
	case c == nil:
		return true
	case mine:
		defer v.settle(k, c)
		c.ok = pub.Verify(msg, sig)
		return c.ok
	}
	<-c.done
	return c.ok
}

// claim returns nil for what is remembered, else the check under way, or a new one that
// is the caller's to settle.
func (v *Verifier) claim(k [32]byte) (c *check, mine bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.remembers(k) {
		return nil, false
	}
	if c = v.running[k]; c != nil {
		return c, false
	}
	c = &check{done: make(chan struct{})}
	v.running[k] = c
	return c, true
}

func (v *Verifier) remembers(k [32]byte) bool {
	_, ok := v.now[k]
	if !ok {
		_, ok = v.old[k]
	}
	return ok
}

func (v *Verifier) settle(k [32]byte, c *check) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.running, k)
	close(c.done)
	if !c.ok {
		return
	}
	if len(v.now) >= v.half {
		v.old, v.now = v.now, make(map[[32]byte]struct{}, v.half)
	}
	v.now[k] = struct{}{}
}

func verified(pub identity.PublicKey, msg, sig []byte) (k [32]byte) {
	h := sha256.New()
	w := wire.NewWriter(64)
	w.U8(uint8(pub.Alg))
	w.U32(uint32(len(pub.Key)))
	w.U32(uint32(len(msg)))
	h.Write(w.Bytes())
	h.Write(pub.Key)
	h.Write(msg)
	h.Write(sig)
	h.Sum(k[:0])
	return k
}

// claim is one signature to verify.
type claim struct {
	pub      identity.PublicKey
	msg, sig []byte
}

// alone is how many signatures one goroutine checks in less time than others take to wake.
const alone = 8

// Warm verifies every signature in an entry whose signer view knows, many in parallel, and
// returns when all are done. It judges nothing: Apply asks again, against the state then.
func (v *Verifier) Warm(view View, entry *command.Entry) {
	var claims []claim
	for _, c := range entry.Commands {
		claims = appendClaims(claims, view, c)
	}
	workers := min(runtime.GOMAXPROCS(0), (len(claims)+alone-1)/alone)
	if workers <= 1 {
		for _, c := range claims {
			v.Verify(c.pub, c.msg, c.sig)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(claims); i = next.Add(1) - 1 {
				v.Verify(claims[i].pub, claims[i].msg, claims[i].sig)
			}
		})
	}
	wg.Wait()
}

func appendClaims(to []claim, view View, c *command.Command) []claim {
	cm := c.Commitment()
	msg := cm.SignedBytes(view.Cluster())
	for _, s := range c.Signatures {
		if pub, ok := signerKey(view, c.Type, s.Principal); ok {
			to = append(to, claim{pub, msg, s.Sig})
		}
	}
	switch c.Type {
	case command.TypeComplete, command.TypeOpenAttempt, command.TypeReportHealth, command.TypeAttestKey:
		return appendStatements(to, view, c)
	}
	return to
}

// signerKey finds the key a signature of a command of type t is by.
func signerKey(view View, t command.Type, fp identity.Fingerprint) (identity.PublicKey, bool) {
	if t == command.TypeRegisterSession {
		r, ok := view.s.roster.identities[fp]
		if !ok {
			return identity.PublicKey{}, false
		}
		return r.Identity, true
	}
	if t.ByRegion() {
		return sessionKey(view, fp)
	}
	p, ok := view.Principal(fp)
	if !ok {
		return identity.PublicKey{}, false
	}
	return p.Key, true
}

func sessionKey(view View, fp identity.Fingerprint) (identity.PublicKey, bool) {
	_, cert, ok := view.RegionBySession(fp)
	if !ok {
		return identity.PublicKey{}, false
	}
	return cert.Session, true
}

// appendStatements adds the signatures inside a region's command.
func appendStatements(to []claim, view View, c *command.Command) []claim {
	body, err := c.Body()
	if err != nil {
		return to
	}
	words := func(raw [][]byte) {
		for _, b := range raw {
			if w, err := command.DecodeWord(b); err == nil {
				if pub, ok := sessionKey(view, w.Session); ok {
					to = append(to, claim{pub, w.SignedBytes(view.Cluster()), w.Sig})
				}
			}
		}
	}
	switch b := body.(type) {
	case *command.Complete:
		for _, raw := range b.Answers {
			if a, err := command.DecodeAnswer(raw); err == nil {
				if pub, ok := sessionKey(view, a.Session); ok {
					to = append(to, claim{pub, a.SignedBytes(view.Cluster()), a.Sig})
				}
			}
		}
	case *command.OpenAttempt:
		words(b.Words)
	case *command.ReportHealth:
		words(b.Words)
	case *command.AttestKey:
		if r, _, ok := view.RegionBySession(c.Principal); ok {
			to = append(to, claim{r.Identity, command.AttestationBytes(view.Cluster(), b.Key, r.ID, b.PublicKey, b.Attributes), b.Identity})
		}
	}
	return to
}
