package main

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

const keyFileMax = 16 << 10

func (a *app) keygenCmd() *cobra.Command {
	var out, kind, public string
	c := a.leaf("keygen --out FILE [--type ed25519|p256|age|age-x25519]", "Make a key file for a principal or an officer", `
Make a private key and print its public side, which goes into the genesis plan or to
an administrator (vaultctl principal add).

ed25519 and p256 are keys of principals: PEM, PKCS #8. age is an officer's identity for
recovery shares, safe against quantum computers; age-x25519 makes the classic kind.
The file is made with mode 0600 and never overwritten.`, noArgs,
		func(context.Context, []string) error {
			if public != "" {
				s, err := loadKey(public)
				if err != nil {
					return err
				}
				return a.printKey(public, s.Public())
			}
			if err := need("out", out); err != nil {
				return err
			}
			if kind == "age" || kind == "age-x25519" {
				return a.ageKeygen(out, kind)
			}
			return a.keygen(out, kind)
		})
	c.Flags().StringVar(&out, "out", "", "file to make")
	c.Flags().StringVar(&kind, "type", "ed25519", "ed25519, p256, age or age-x25519")
	c.Flags().StringVar(&public, "public", "", "print the public side of this key file instead")
	return c
}

type keyView struct {
	File        string `json:"file"`
	PublicKey   string `json:"public_key"`
	Fingerprint string `json:"fingerprint"`
}

func (a *app) printKey(file string, k identity.PublicKey) error {
	v := keyView{file, k.Text(), k.Fingerprint().String()}
	return a.print(v, func(w io.Writer) {
		a.pairs(w, "file", v.File, "public key", v.PublicKey, "fingerprint", v.Fingerprint)
	})
}

func (a *app) keygen(out, kind string) error {
	var priv crypto.Signer
	var err error
	switch kind {
	case "ed25519":
		_, priv, err = ed25519.GenerateKey(rand.Reader)
	case "p256":
		priv, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	default:
		return usagef("--type %q: want ed25519, p256, age or age-x25519", kind)
	}
	if err != nil {
		return errs.Wrap(errs.Internal, err, "making a key")
	}
	der, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		return errs.Wrap(errs.Internal, err, "encoding a key")
	}
	defer clear(der)
	s, err := identity.NewKeySigner(priv)
	if err != nil {
		return err
	}
	if err := createPrivate(out, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return err
	}
	return a.printKey(out, s.Public())
}

func (a *app) ageKeygen(out, kind string) error {
	var secret, recipient string
	if kind == "age" {
		id, err := age.GenerateHybridIdentity()
		if err != nil {
			return errs.Wrap(errs.Internal, err, "making a key")
		}
		secret, recipient = id.String(), id.Recipient().String()
	} else {
		id, err := age.GenerateX25519Identity()
		if err != nil {
			return errs.Wrap(errs.Internal, err, "making a key")
		}
		secret, recipient = id.String(), id.Recipient().String()
	}
	if err := createPrivate(out, fmt.Appendf(nil, "# public key: %s\n%s\n", recipient, secret)); err != nil {
		return err
	}
	return a.print(map[string]string{"file": out, "recipient": recipient}, func(w io.Writer) {
		a.pairs(w, "file", out, "recipient", recipient)
	})
}

// createPrivate makes a file only its owner can read, and never overwrites one.
func createPrivate(name string, data []byte) error {
	defer clear(data)
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if os.IsExist(err) {
		return errs.Wrap(errs.Exists, err, "key file").WithHint("choose another --out: a key file is never overwritten")
	}
	if err != nil {
		return durable.Coded(err, "making the key file %s", name)
	}
	_, err = f.Write(data)
	for _, step := range []func() error{f.Sync, f.Close} {
		if e := step(); err == nil {
			err = e
		}
	}
	return durable.Coded(err, "writing the key file %s", name)
}

// readPrivate reads a file that holds a secret, unless others may read it too.
func readPrivate(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, durable.Coded(err, "key file %s", name)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil || !st.Mode().IsRegular() || st.Size() > keyFileMax {
		return nil, errs.Wrap(errs.Invalid, err, "key file %s is not a regular file of a few kilobytes", name)
	}
	if st.Mode().Perm()&0o077 != 0 {
		return nil, errs.New(errs.Denied, "key file %s has mode %#o: others may read it", name, st.Mode().Perm()).WithHint("chmod 600 %s", name)
	}
	return io.ReadAll(f)
}

// loadKey reads a principal's key file.
func loadKey(name string) (*identity.KeySigner, error) {
	b, err := readPrivate(name)
	if err != nil {
		return nil, err
	}
	defer clear(b)
	block, rest := pem.Decode(b)
	if block == nil || block.Type != "PRIVATE KEY" || len(bytes.TrimSpace(rest)) > 0 {
		return nil, errs.New(errs.Malformed, "key file %s holds no single PEM block PRIVATE KEY", name).WithHint("vaultctl keygen makes key files")
	}
	defer clear(block.Bytes)
	priv, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, errs.New(errs.Malformed, "key file %s is not PKCS #8", name) // the cause could quote the key
	}
	signer, ok := priv.(crypto.Signer)
	if !ok {
		return nil, errs.New(errs.Invalid, "key file %s holds a key that cannot sign", name)
	}
	s, err := identity.NewKeySigner(signer)
	if err != nil || s.Public().Alg == identity.RSAPSS {
		return nil, errs.New(errs.Invalid, "key file %s: principals have ed25519 or p256 keys", name)
	}
	return s, nil
}
