package sealtest

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/tetrad-vault/tetrad/seal"
)

const firstObject = 100 // even

// token is one process's view: what a loaded module keeps.
type token struct {
	dev     *Device
	running atomic.Int32 // calls inside

	// guarded by dev.mu
	started bool
	login   bool
	epoch   int
	opens   int // sessions open; the login ends with the last
}

type session struct {
	tok    *token
	inUse  atomic.Bool
	epoch  int
	closed bool
}

// call brackets a call into the module.
func (t *token) call() func() {
	t.running.Add(1)
	return func() { t.running.Add(-1) }
}

func (t *token) Start() error {
	defer t.call()()
	t.dev.mu.Lock()
	t.epoch = t.dev.epoch
	t.dev.mu.Unlock()
	if err := t.dev.enter(OpStart, t.epoch); err != nil {
		return err
	}
	t.dev.mu.Lock()
	defer t.dev.mu.Unlock()
	t.started, t.login, t.opens = true, false, 0
	return nil
}

func (t *token) Stop() error {
	if t.running.Load() != 0 {
		panic("sealtest: the module is finalised while calls run: a real one crashes")
	}
	t.dev.mu.Lock()
	defer t.dev.mu.Unlock()
	t.started, t.login = false, false
	t.epoch = -1 // its sessions are dead
	return nil
}

func (t *token) Info() (seal.Info, error) {
	t.dev.mu.Lock()
	defer t.dev.mu.Unlock()
	return seal.Info{Maker: "Tetrad", Model: "sealtest", Serial: t.dev.serial, Label: "test", Firmware: "1.0", Profile: t.dev.opts.Profile}, nil
}

func (t *token) Session() (seal.Session, error) {
	defer t.call()()
	if err := t.dev.enter(OpSession, t.epochNow()); err != nil {
		return nil, err
	}
	t.dev.mu.Lock()
	defer t.dev.mu.Unlock()
	if !t.started {
		return nil, fault(seal.FaultToken, OpSession, errDevice)
	}
	t.opens++
	return &session{tok: t, epoch: t.epoch}, nil
}

func (t *token) epochNow() int { t.dev.mu.Lock(); defer t.dev.mu.Unlock(); return t.epoch }

// begin starts a call on a session and returns what ends it.
func (s *session) begin(op Op) (func(), error) {
	if !s.inUse.CompareAndSwap(false, true) {
		panic("sealtest: two calls on one session at once: a real module crashes")
	}
	leave := s.tok.call()
	end := func() { leave(); s.inUse.Store(false) }
	d := s.tok.dev
	if err := d.enter(op, s.epoch); err != nil {
		return end, err
	}
	if op == OpSign || op == OpDecrypt || op == OpLogin {
		time.Sleep(d.opts.Latency)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.closed || !s.tok.started || s.tok.epoch != s.epoch {
		return end, fault(seal.FaultToken, op, errDevice)
	}
	if op != OpLogin && !s.tok.login {
		return end, fault(seal.FaultToken, op, errNoLogin)
	}
	return end, nil
}

func (s *session) Login(pin []byte) error {
	end, err := s.begin(OpLogin)
	defer end()
	if err != nil {
		return err
	}
	d := s.tok.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	if !s.tok.login && string(pin) != d.opts.PIN {
		return fault(seal.FaultPIN, OpLogin, errPIN)
	}
	s.tok.login = true
	return nil
}

func (s *session) Find(label string, private bool) ([]seal.Object, error) {
	end, err := s.begin(OpFind)
	defer end()
	if err != nil {
		return nil, err
	}
	d := s.tok.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []seal.Object
	for i, k := range d.keys {
		half := halfOf(private)
		if k.spec.Label == label && !k.spec.Temporary && !k.destroyed[half] {
			out = append(out, seal.Object(firstObject+2*i+half))
		}
	}
	return out, nil
}

func halfOf(private bool) int {
	if private {
		return 0
	}
	return 1
}

func (s *session) Generate(spec seal.KeySpec) (public, private seal.Object, err error) {
	end, err := s.begin(OpGenerate)
	defer end()
	if err != nil {
		return 0, 0, err
	}
	d := s.tok.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	if !slices.Contains(d.opts.Kinds, spec.Kind) {
		return 0, 0, fault(seal.FaultCall, OpGenerate, errMechanism)
	}
	k, err := newKey(d.seed, len(d.keys), spec)
	if err != nil {
		return 0, 0, fault(seal.FaultCall, OpGenerate, err)
	}
	k.owner = s
	d.keys = append(d.keys, k)
	private = seal.Object(firstObject + 2*(len(d.keys)-1))
	return private + 1, private, nil
}

func (s *session) key(op Op, o seal.Object) (*key, error) {
	d := s.tok.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	i, half := (int(o)-firstObject)/2, int(o)%2
	if int(o) < firstObject || i >= len(d.keys) || d.keys[i].spec.Temporary && d.keys[i].owner != s || d.keys[i].destroyed[half] {
		return nil, fault(seal.FaultToken, op, errHandle)
	}
	return d.keys[i], nil
}

func (s *session) Public(o seal.Object, _ seal.Kind) ([]byte, error) {
	end, err := s.begin(OpPublic)
	defer end()
	if err != nil {
		return nil, err
	}
	k, err := s.key(OpPublic, o)
	if err != nil {
		return nil, err
	}
	return k.public(), nil
}

func (s *session) Attributes(o seal.Object) (seal.Attributes, error) {
	end, err := s.begin(OpAttributes)
	defer end()
	if err != nil {
		return seal.Attributes{}, err
	}
	k, err := s.key(OpAttributes, o)
	if err != nil {
		return seal.Attributes{}, err
	}
	a := seal.Attributes{
		Kind: k.spec.Kind, Use: k.spec.Use, Persistent: seal.TriOf(!k.spec.Temporary),
		Private: seal.Yes, Sensitive: seal.Yes, Extractable: seal.No, AlwaysSensitive: seal.Yes, NeverExtracted: seal.Yes,
		Local: seal.Yes, Modifiable: seal.No, Sign: seal.TriOf(k.spec.Use == seal.UseSign),
		Decrypt: seal.TriOf(k.spec.Use == seal.UseDecrypt), Unwrap: seal.No, Derive: seal.No, GenMechanism: uint64(k.spec.Kind),
	}
	s.tok.dev.mu.Lock()
	lie := s.tok.dev.lie
	s.tok.dev.mu.Unlock()
	if lie != nil {
		lie(&a)
	}
	return a, nil
}

func (s *session) Sign(o seal.Object, kind seal.Kind, data []byte) ([]byte, error) {
	asked := time.Now()
	end, err := s.begin(OpSign)
	defer end()
	if err != nil {
		return nil, err
	}
	k, err := s.key(OpSign, o)
	if err != nil {
		return nil, err
	}
	if k.spec.Kind != kind || k.spec.Use != seal.UseSign {
		return nil, fault(seal.FaultCall, OpSign, errMechanism)
	}
	sig, err := k.sign(data)
	if err == nil {
		s.tok.dev.made(Signature{Label: k.spec.Label, Asked: asked, Data: data, Sig: sig})
	}
	return sig, err
}

func (s *session) Decrypt(o seal.Object, h seal.Hash, ciphertext []byte) ([]byte, error) {
	end, err := s.begin(OpDecrypt)
	defer end()
	if err != nil {
		return nil, err
	}
	k, err := s.key(OpDecrypt, o)
	if err != nil {
		return nil, err
	}
	if k.spec.Use != seal.UseDecrypt || !slices.Contains(s.tok.dev.opts.Hashes, h) {
		return nil, fault(seal.FaultCall, OpDecrypt, errMechanism)
	}
	plain, err := k.decrypt(h, ciphertext)
	if err != nil {
		return nil, fault(seal.FaultToken, OpDecrypt, errCiphertext)
	}
	s.tok.dev.decrypted(k.spec.Label)
	return plain, nil
}

func (s *session) Destroy(o seal.Object) error {
	end, err := s.begin(OpDestroy)
	defer end()
	if err != nil {
		return err
	}
	k, err := s.key(OpDestroy, o)
	if err != nil {
		return err
	}
	d := s.tok.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	k.destroyed[int(o)%2] = true
	return nil
}

func (s *session) Close() error {
	d := s.tok.dev
	d.mu.Lock()
	defer d.mu.Unlock()
	if s.closed || s.tok.epoch != s.epoch {
		return nil
	}
	s.closed = true
	if s.tok.opens--; s.tok.opens == 0 {
		s.tok.login = false
	}
	return nil
}
