package pkcs11

import "C"

import (
	"os"
	"path/filepath"
	"sync"
	"unsafe"

	"github.com/miekg/pkcs11"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/seal"
)

// Module is a loaded module. Its tokens share one initialisation: the first to start
// initialises, the last to stop finalises.
type Module struct {
	path     string
	initArgs unsafe.Pointer // C string for C_Initialize's pReserved, or nil

	mu    sync.Mutex // held across C_Initialize and C_Finalize, which must not overlap
	ctx   *pkcs11.Ctx
	users int
}

// Load loads the module at path. initArgs is what some modules (NSS) want passed to
// C_Initialize; empty for all others.
func Load(path, initArgs string) (*Module, error) {
	if st, err := os.Stat(path); err != nil || st.IsDir() {
		return nil, errs.Wrap(errs.NotFound, err, "PKCS#11 module %s", path).WithHint("install the vendor's package, or softhsm2 for tests and demos")
	}
	ctx := pkcs11.New(path)
	if ctx == nil {
		return nil, errs.New(errs.HSMFailed, "PKCS#11 module %s does not load", path).WithHint("is it a PKCS#11 library of this architecture, with all libraries it needs?")
	}
	m := &Module{path: path, ctx: ctx}
	if initArgs != "" {
		m.initArgs = unsafe.Pointer(C.CString(initArgs)) // never freed: the module may keep it
	}
	return m, nil
}

// SoftHSM returns the path of the SoftHSM2 module, the default for tests and demos.
func SoftHSM() (string, error) {
	for _, pattern := range []string{"/usr/lib/*/softhsm/libsofthsm2.so", "/usr/lib/softhsm/libsofthsm2.so",
		"/usr/lib64/softhsm/libsofthsm2.so", "/usr/lib64/pkcs11/libsofthsm2.so", "/usr/local/lib/softhsm/libsofthsm2.so"} {
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return found[0], nil
		}
	}
	return "", errs.New(errs.NotFound, "SoftHSM2 is not installed").WithHint("run make deps")
}

// Token returns the token with label. It is found when started.
func (m *Module) Token(label string) seal.Token { return &token{mod: m, label: label} }

func (m *Module) start() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users == 0 {
		opts := []pkcs11.InitializeOption{}
		if m.initArgs != nil {
			opts = append(opts, pkcs11.InitializeWithReserved(m.initArgs))
		}
		if err := m.ctx.Initialize(opts...); err != nil {
			return classify("C_Initialize", err)
		}
	}
	m.users++
	return nil
}

func (m *Module) stop() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.users--; m.users > 0 {
		return nil
	}
	return classify("C_Finalize", m.ctx.Finalize())
}
