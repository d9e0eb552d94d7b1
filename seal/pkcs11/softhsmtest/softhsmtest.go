// Package softhsmtest makes real SoftHSM2 tokens in a temporary directory, for tests
// that need a true PKCS#11 module. SoftHSM reads its configuration from an environment
// variable, so there is one set of tokens per test process: make it in TestMain.
package softhsmtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/pkcs11"
)

// PIN is the user PIN of every token.
const PIN = "246813579"

// Tokens is a set of initialised tokens.
type Tokens struct {
	Module string // path of the PKCS#11 module
	Dir    string // everything is below it
}

// Setup initialises one token per label and points this process at them. It does not
// skip when SoftHSM is missing: `make deps` installs it.
func Setup(labels ...string) (*Tokens, error) {
	module, err := pkcs11.SoftHSM()
	if err != nil {
		return nil, fmt.Errorf("%w (these tests need it: run make deps)", err)
	}
	dir, err := os.MkdirTemp("", "softhsm")
	if err != nil {
		return nil, err
	}
	t := &Tokens{Module: module, Dir: dir}
	if err := t.init(labels); err != nil {
		t.Close()
		return nil, err
	}
	return t, nil
}

func (t *Tokens) init(labels []string) error {
	if err := os.MkdirAll(t.TokenDir(), 0o700); err != nil {
		return err
	}
	conf := filepath.Join(t.Dir, "softhsm2.conf")
	text := "directories.tokendir = " + t.TokenDir() + "\nobjectstore.backend = file\nlog.level = ERROR\nslots.removable = false\n"
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Setenv("SOFTHSM2_CONF", conf); err != nil {
		return err
	}
	for _, l := range labels {
		out, err := exec.Command("softhsm2-util", "--init-token", "--free", "--label", l, "--so-pin", PIN, "--pin", PIN).CombinedOutput()
		if err != nil {
			return fmt.Errorf("softhsm2-util (run make deps): %w: %s", err, out)
		}
	}
	return nil
}

// TokenDir is where the tokens' files are; moving it away is like pulling the HSM out.
func (t *Tokens) TokenDir() string { return filepath.Join(t.Dir, "tokens") }

// UserPIN is a PIN source for every token.
func (t *Tokens) UserPIN() seal.PINSource { return func() ([]byte, error) { return []byte(PIN), nil } }

// Close removes everything.
func (t *Tokens) Close() { _ = os.RemoveAll(t.Dir) }
