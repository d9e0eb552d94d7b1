package seal

import (
	"bytes"
	"io"
	"os"
	"path/filepath"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// PINSource returns the PIN; the caller clears it after use. It is asked at every
// login, so that nothing keeps the PIN in between.
type PINSource func() ([]byte, error)

// PINFile reads the PIN from a file that only its owner may read.
func PINFile(path string) PINSource {
	return func() ([]byte, error) { return readPIN(path, 0o077) }
}

// PINCredential reads the PIN from a systemd credential (LoadCredential=,
// LoadCredentialEncrypted=). systemd guards the directory; some versions grant the
// service its access through the group bits.
func PINCredential(name string) PINSource {
	return func() ([]byte, error) {
		dir := os.Getenv("CREDENTIALS_DIRECTORY")
		if dir == "" {
			return nil, errs.New(errs.NotFound, "PIN credential %q: no credentials were passed to this process", name).
				WithHint("add LoadCredential=%s:... to the unit", name)
		}
		if name == "" || name != filepath.Base(name) || name == ".." || name == "." {
			return nil, errs.New(errs.Invalid, "PIN credential %q is not a plain name", name)
		}
		return readPIN(filepath.Join(dir, name), 0o007)
	}
}

const pinForm = "write the PIN of hsm.token_label into the file, and nothing else"

func readPIN(path string, forbidden os.FileMode) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, errs.Wrap(errs.NotFound, err, "reading the PIN").WithHint("the file must exist and be readable by this user")
	}
	defer f.Close()
	st, err := f.Stat() // of what was opened, not of what the name means by now
	if err != nil || !st.Mode().IsRegular() {
		return nil, errs.Wrap(errs.Invalid, err, "PIN file %s is not a regular file", path)
	}
	if st.Mode().Perm()&forbidden != 0 {
		return nil, errs.New(errs.Denied, "PIN file %s has mode %#o: others may read it", path, st.Mode().Perm()).WithHint("chmod 600 %s", path)
	}
	buf := make([]byte, maxPIN+2)
	n, err := io.ReadFull(f, buf)
	if err == nil || n == 0 {
		clear(buf)
		return nil, errs.New(errs.Invalid, "PIN file %s holds no PIN of 1 to %d bytes", path, maxPIN).WithHint(pinForm)
	}
	pin := bytes.TrimRight(buf[:n], "\r\n")
	if len(pin) == 0 || bytes.ContainsAny(pin, "\r\n\x00") {
		clear(buf)
		return nil, errs.New(errs.Invalid, "PIN file %s must hold the PIN alone, on one line", path).WithHint(pinForm)
	}
	return pin, nil
}
