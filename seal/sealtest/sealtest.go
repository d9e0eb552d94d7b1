// Package sealtest is an HSM in software, for tests and the chaos suite: a Device that
// outlives the nodes using it, as the real thing does, and Tokens through which one
// node after the other reaches it. It has hooks to fail, hang and vanish, and it
// panics where a vendor's module would crash the process.
//
// It protects nothing. It has no package-level state and no clock of its own, so it
// works inside testing/synctest, and with a seed its keys and signatures repeat.
package sealtest

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/tetrad-vault/tetrad/seal"
)

// Op names a token call, for hooks.
type Op string

// The calls.
const (
	OpStart      Op = "start"
	OpSession    Op = "session"
	OpLogin      Op = "login"
	OpFind       Op = "find"
	OpGenerate   Op = "generate"
	OpPublic     Op = "public"
	OpAttributes Op = "attributes"
	OpSign       Op = "sign"
	OpDecrypt    Op = "decrypt"
	OpDestroy    Op = "destroy"
)

// DefaultPIN is the PIN of a device unless Options say otherwise.
const DefaultPIN = "987654"

// Options describe a device. The zero value signs with all curves and decrypts OAEP
// with SHA-1, like SoftHSM.
type Options struct {
	Seed    uint64        // 0: random keys
	PIN     string        // default DefaultPIN
	Kinds   []seal.Kind   // what it can generate; default all
	Hashes  []seal.Hash   // what its OAEP accepts; default SHA-1
	Profile seal.Profile  // quirks it admits to
	Latency time.Duration // of signing, decrypting and logging in
}

// Device is the HSM itself: its keys survive every Token.
type Device struct {
	opts Options
	seed [8]byte

	mu     sync.Mutex
	keys   []*key // the object handles of keys[i] are firstObject+2i, private, and the next
	gone   bool
	epoch  int // bumped by Vanish: what was opened before is dead
	fail   func(Op) error
	hang   chan struct{}
	lie    func(*seal.Attributes)
	watch  func(Signature)
	opened func(label string)
	serial string
	counts map[Op]int
}

// New returns a device without keys.
func New(o Options) *Device {
	if o.PIN == "" {
		o.PIN = DefaultPIN
	}
	if o.Kinds == nil {
		o.Kinds = []seal.Kind{seal.Secp256k1, seal.P256, seal.Ed25519, seal.RSA3072}
	}
	if o.Hashes == nil {
		o.Hashes = []seal.Hash{seal.SHA1}
	}
	d := &Device{opts: o, serial: "0", counts: map[Op]int{}}
	binary.BigEndian.PutUint64(d.seed[:], o.Seed)
	if o.Seed == 0 {
		_, _ = rand.Read(d.seed[:])
	}
	return d
}

// OpenHSM opens d as a node would, with default settings.
func (d *Device) OpenHSM(ctx context.Context) (*seal.HSM, error) {
	return seal.Open(ctx, seal.Config{Token: d.Token(), PIN: d.PIN()})
}

// PIN returns the right PIN.
func (d *Device) PIN() seal.PINSource {
	return func() ([]byte, error) { return []byte(d.opts.PIN), nil }
}

// Token returns a module just loaded by a process just started. Use one per node and
// start.
func (d *Device) Token() seal.Token { return &token{dev: d} }

// Fail makes calls fail with what f returns; nil ends it.
func (d *Device) Fail(f func(Op) error) { d.mu.Lock(); defer d.mu.Unlock(); d.fail = f }

// FailNext makes the next n calls of op fail, as a device fault.
func (d *Device) FailNext(op Op, n int) {
	d.Fail(func(o Op) error { // called with mu held
		if o != op || n == 0 {
			return nil
		}
		n--
		return errDevice
	})
}

// Hang makes all calls block until release is called.
func (d *Device) Hang() (release func()) {
	ch := make(chan struct{})
	d.mu.Lock()
	d.hang = ch
	d.mu.Unlock()
	return sync.OnceFunc(func() {
		d.mu.Lock()
		if d.hang == ch {
			d.hang = nil
		}
		d.mu.Unlock()
		close(ch)
	})
}

// Vanish pulls the device out: every call fails, and what was opened stays dead even
// after Return, until the module is started again.
func (d *Device) Vanish() { d.mu.Lock(); defer d.mu.Unlock(); d.gone = true; d.epoch++ }

// Return plugs the device in again.
func (d *Device) Return() { d.mu.Lock(); defer d.mu.Unlock(); d.gone = false }

// Lie changes what the device reports about its keys.
func (d *Device) Lie(f func(*seal.Attributes)) { d.mu.Lock(); defer d.mu.Unlock(); d.lie = f }

// Signature is one signature the device made, whether or not anybody got to see it.
type Signature struct {
	Label string // of the key
	Asked time.Time
	Data  []byte // digest for ECDSA, else the message
	Sig   []byte // as the token returned it
}

// Watch hands every signature to f, before the caller has it; f must not block.
func (d *Device) Watch(f func(Signature)) { d.mu.Lock(); defer d.mu.Unlock(); d.watch = f }

// WatchOpened tells f the key of every successful decryption; f must not block.
func (d *Device) WatchOpened(f func(label string)) { d.mu.Lock(); defer d.mu.Unlock(); d.opened = f }

func (d *Device) decrypted(label string) {
	d.mu.Lock()
	opened := d.opened
	d.mu.Unlock()
	if opened != nil {
		opened(label)
	}
}

// Revive brings destroyed keys back, as a backup of the device would.
func (d *Device) Revive() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, k := range d.keys {
		k.destroyed = [2]bool{}
	}
}

func (d *Device) made(s Signature) {
	d.mu.Lock()
	watch := d.watch
	d.mu.Unlock()
	if watch != nil {
		watch(s)
	}
}

// Count returns how often op was called.
func (d *Device) Count(op Op) int { d.mu.Lock(); defer d.mu.Unlock(); return d.counts[op] }

// Labels returns the labels of the keys of which it holds at least a half.
func (d *Device) Labels() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []string
	for _, k := range d.keys {
		if !k.spec.Temporary && !(k.destroyed[0] && k.destroyed[1]) {
			out = append(out, k.spec.Label)
		}
	}
	slices.Sort(out)
	return out
}

var (
	errDevice     = errors.New("device error")
	errRemoved    = errors.New("device removed")
	errPIN        = errors.New("incorrect PIN")
	errNoLogin    = errors.New("user not logged in")
	errHandle     = errors.New("object handle invalid")
	errMechanism  = errors.New("mechanism invalid")
	errCiphertext = errors.New("encrypted data invalid")
)

func fault(f seal.Fault, op Op, err error) error {
	return &seal.TokenError{Fault: f, Op: string(op), Err: err}
}

// enter runs the hooks of one call. It waits without holding the lock.
func (d *Device) enter(op Op, epoch int) error {
	d.mu.Lock()
	d.counts[op]++
	hang := d.hang
	d.mu.Unlock()
	if hang != nil {
		<-hang
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.gone || epoch != d.epoch {
		return fault(seal.FaultToken, op, errRemoved)
	}
	if d.fail != nil {
		if err := d.fail(op); err != nil {
			var te *seal.TokenError
			if errors.As(err, &te) {
				return err
			}
			return fault(seal.FaultToken, op, err)
		}
	}
	return nil
}

// SetSerial changes the serial number, as if another device had taken its place.
func (d *Device) SetSerial(s string) { d.mu.Lock(); defer d.mu.Unlock(); d.serial = s }
