package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/config"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/escrow"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/vault/frost"
)

func (a *app) recoverCmd() *cobra.Command {
	return a.group("recover", "Restore an escrowed key, offline", `
Restore a threshold key from its escrow (vaultctl key backup), without any connection. It
puts the whole key into one file: do it on a machine that is on no network and is wiped
afterwards, move what the key holds to another one, and never use it again.

Unless the escrow was made for disasters, one region takes part: at a site whose HSM
lives vaultctl recover release writes what recover key takes with --release.`,
		a.recoverKey(), a.recoverRelease(), a.recoverSign())
}

func (a *app) recoverKey() *cobra.Command {
	var bundle, release, out, network, expect string
	var identities []string
	c := a.leaf("key --bundle FILE --identity AGE-KEY... --out FILE", "Put a key together with the officers' age keys", `
Needs the age identities of as many officers as the escrow's quorum says. The key is
compared with the public key of the bundle, and with --public-key if that is given; it is
written to a new file with mode 0600 and shown nowhere. For secp256k1 the file tells WIF,
the extended private key and Taproot descriptors; for Ed25519 a scalar, since there is no
seed: sign with vaultctl recover sign.`, noArgs, func(context.Context, []string) error {
		if err := need("bundle", bundle, "out", out); err != nil {
			return err
		}
		net, err := intent.ParseNetwork(network)
		if err != nil {
			return usageError{err}
		}
		return a.recover(bundle, release, out, expect, net, identities)
	})
	f := c.Flags()
	f.StringVar(&bundle, "bundle", "", "the encrypted shares: vaultctl key backup")
	f.StringArrayVar(&identities, "identity", nil, "age identity file of an officer; give it once for each")
	f.StringVar(&release, "release", "", "a region's part: vaultctl recover release")
	f.StringVar(&out, "out", "", "file to write; must not exist")
	f.StringVar(&expect, "public-key", "", "the key's public key, from elsewhere than the bundle")
	networkFlag(c, &network)
	return c
}

type recoveredView struct {
	File      string   `json:"file"`
	Name      string   `json:"name"`
	Key       string   `json:"key"`
	PublicKey string   `json:"public_key"`
	Escrow    uint32   `json:"escrow"`
	Epoch     uint32   `json:"epoch"`
	Skipped   []string `json:"skipped"` // shares that were no good
}

func (a *app) recover(bundle, release, out, expect string, net intent.Network, identities []string) error {
	b, err := a.readBundle(bundle)
	if err != nil {
		return err
	}
	public, err := b.PublicKey()
	if err != nil {
		return err
	}
	if shown := hexOf(public.Bytes()); expect != "" && expect != shown {
		return errs.New(errs.Unverified, "the bundle is of key %s, not of %s", shown, expect)
	}
	if len(identities) == 0 {
		return usagef("--identity is required: the officers' age identity files")
	}
	var ids []age.Identity
	for _, name := range identities {
		some, err := officerIdentities(name)
		if err != nil {
			return err
		}
		ids = append(ids, some...)
	}
	part, err := a.readRelease(release, b, ids)
	if err != nil {
		return err
	}
	defer part.Wipe()
	secret, skipped, err := escrow.Recover(b, part, ids)
	if err != nil {
		return err
	}
	defer secret.Wipe()
	if err := createPrivate(out, escrow.KeyFile(secret, b.Name, b.Chain, net)); err != nil {
		return err
	}
	return a.recovered(recoveredView{out, b.Name, b.Key.String(), hexOf(public.Bytes()), b.Number, b.Epoch, append([]string{}, skipped...)})
}

func (a *app) recovered(v recoveredView) error {
	err := a.print(v, func(w io.Writer) {
		a.pairs(w, "file", v.File, "name", v.Name, "key", v.Key, "public key", v.PublicKey, "escrow", itoa(uint64(v.Escrow)), "epoch", itoa(uint64(v.Epoch)))
	})
	for _, s := range v.Skipped {
		fmt.Fprintf(a.stderr, "%s %s\n", a.paint(yellow, "left out:"), s)
	}
	fmt.Fprintf(a.stderr, "%s %s now holds the WHOLE SECRET of key %s. Whoever reads it can sign alone, for ever.\n"+
		"Move what the key holds to another key, retire it (vaultctl key retire), and destroy the file.\n", a.paint(red, "WARNING:"), v.File, v.Name)
	return err
}

func (a *app) readBundle(name string) (*escrow.Bundle, error) {
	file, err := readText(name, 4<<20)
	if err != nil {
		return nil, err
	}
	b, err := escrow.ParseBundle(file)
	if err != nil {
		return nil, errs.Wrap(errs.CodeOf(err), err, "%s", name)
	}
	return b, nil
}

func (a *app) readRelease(name string, b *escrow.Bundle, ids []age.Identity) (*escrow.Release, error) {
	if name == "" {
		return nil, nil
	}
	file, err := readText(name, 1<<20)
	if err != nil {
		return nil, err
	}
	return escrow.OpenRelease(file, b, ids...)
}

// readText reads a file of bounded size.
func readText(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, durable.Coded(err, "reading %s", name)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, durable.Coded(err, "reading %s", name)
	}
	if int64(len(b)) > limit {
		return nil, errs.New(errs.TooLarge, "%s has more than %d bytes", name, limit)
	}
	return b, nil
}

func (a *app) recoverRelease() *cobra.Command {
	var cfg, bundle, to, out string
	c := a.leaf("release --config VAULTD.HCL --bundle FILE --to RECIPIENT --out FILE", "At a region: its HSM's part in restoring a key", `
Open with this region's HSM what of the bundle is wrapped to it, and encrypt it to an age
recipient: one of the officers who restore the key. Without them it is worth nothing.`, noArgs, func(ctx context.Context, _ []string) error {
		if err := need("config", cfg, "bundle", bundle, "to", to, "out", out); err != nil {
			return err
		}
		if _, err := age.ParseRecipients(bytes.NewReader([]byte(to))); err != nil {
			return usagef("--to is no age recipient")
		}
		b, err := a.readBundle(bundle)
		if err != nil {
			return err
		}
		return a.release(ctx, cfg, b, to, out)
	})
	f := c.Flags()
	f.StringVar(&cfg, "config", "", "this region's vaultd configuration")
	f.StringVar(&bundle, "bundle", "", "the encrypted shares: vaultctl key backup")
	f.StringVar(&to, "to", "", "age recipient of who restores the key")
	f.StringVar(&out, "out", "", "file to write")
	return c
}

func (a *app) release(ctx context.Context, file string, b *escrow.Bundle, to, out string) (err error) {
	cfg, err := config.Load(file)
	if err != nil {
		return err
	}
	fs, err := durable.Dir(cfg.DataDir)
	if err != nil {
		return err
	}
	in, err := ceremony.Load(fs)
	if err != nil {
		return err
	}
	doc := &in.Genesis.Document
	if doc.Cluster != b.Cluster {
		return errs.New(errs.Invalid, "the bundle is of another cluster than region %s", cfg.Region)
	}
	hsm, err := openHSM(ctx, cfg.HSM)
	if err != nil {
		return err
	}
	defer closeHSM(ctx, hsm, &err)
	state, err := seal.DecodeState(in.Unseal) // the hash of the HSM that the region has now
	if err != nil {
		return err
	}
	if err := hsm.Use(ctx, seal.IdentityLabel(b.Cluster), seal.WrappingLabel(b.Cluster), state.Hash); err != nil {
		return err
	}
	part, err := escrow.NewRelease(ctx, hsm, in.Region, b, to)
	if err != nil {
		return err
	}
	if err := a.save(out, part, 0o600); err != nil {
		return err
	}
	return a.print(map[string]string{"file": out, "region": cfg.Region, "key": b.Key.String()}, func(w io.Writer) {
		a.pairs(w, "file", out, "region", cfg.Region, "key", b.Key.String())
	})
}

func (a *app) recoverSign() *cobra.Command {
	var key, message, path, out string
	c := a.leaf("sign --key FILE --message FILE [--path M/...]", "Sign with a recovered key", `
Sign the bytes of a file as they are, with a recovered key or its child at a path: 64
bytes, hexadecimal. Ed25519 (RFC 8032), or BIP-340 over the bytes (a Bitcoin sighash).`, noArgs, func(context.Context, []string) error {
		if err := need("key", key, "message", message); err != nil {
			return err
		}
		at, err := command.ParsePath(path)
		if err != nil {
			return usageError{err}
		}
		msg, err := a.input(message, 1<<20)
		if err != nil {
			return err
		}
		file, err := readPrivate(key)
		if err != nil {
			return err
		}
		defer clear(file)
		s, chain, err := escrow.ParseKeyFile(file)
		if err != nil {
			return errs.Wrap(errs.CodeOf(err), err, "%s", key)
		}
		defer s.Wipe()
		sig, err := escrow.SignAt(s, chain, at, func(s *frost.Secret) ([]byte, error) { return s.Sign(rand.Reader, msg) })
		if err != nil {
			return err
		}
		return a.save(out, []byte(hex.EncodeToString(sig)+"\n"), 0o644)
	})
	f := c.Flags()
	f.StringVar(&key, "key", "", "what vaultctl recover key wrote")
	f.StringVar(&message, "message", "", "file to sign, - for standard input")
	f.StringVar(&path, "path", "m", "child that signs")
	f.StringVar(&out, "out", "-", "file for the signature")
	return c
}
