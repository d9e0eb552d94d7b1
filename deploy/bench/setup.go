package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/fsm/command"
)

const tenant = "bench"

// curves are the multisig keys made, by the name in the table.
var curves = map[string]command.Curve{"P-256": command.P256, "secp256k1": command.Secp256k1, "Ed25519": command.Ed25519}

// shared are the threshold keys.
var shared = map[string]command.Curve{"FROST BIP-340": command.Secp256k1, "FROST Ed25519": command.Ed25519}

// bench is a running lab with everything there is to sign with.
type bench struct {
	lab     *lab.Lab
	signer  *client.KeySigner // the service's
	service *client.Client
	admin   *client.Client
	keys    map[string]*client.Key

	profiles   string // folder for profiles; empty for none
	heapsTaken int
}

// found holds the ceremony and starts the regions.
func found(ctx context.Context, dir, bin string) (*lab.Lab, error) {
	l, err := lab.New(ctx, dir, bin)
	if err != nil {
		return nil, err
	}
	if err := l.Found(ctx); err != nil {
		return l, err
	}
	return l, start(ctx, l)
}

func start(ctx context.Context, l *lab.Lab) error {
	if err := l.StartAll(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for _, r := range l.Regions {
		if err := r.AwaitReady(ctx); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes a tenant, a service that may sign, and one key of each curve.
func prepare(ctx context.Context, l *lab.Lab) (*bench, error) {
	b := &bench{lab: l, keys: map[string]*client.Key{}}
	admins, err := administrators(l)
	if err != nil {
		return nil, err
	}
	defer admins[1].Close()
	b.admin = admins[0]
	_, priv, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	if b.signer, err = client.NewKeySigner(priv); err != nil {
		return nil, err
	}
	for _, body := range []command.Body{
		&command.CreateTenant{Name: tenant},
		&command.PutPrincipal{Name: "service", Tenant: tenant, Key: b.signer.Public(), Roles: command.RoleSigner},
	} {
		if err := both(ctx, admins, body); err != nil {
			return nil, err
		}
	}
	for scheme, keys := range map[command.Scheme]map[string]command.Curve{command.SchemeMultisig: curves, command.SchemeThreshold: shared} {
		for name, curve := range keys {
			if b.keys[name], err = makeKey(ctx, admins[0], fmt.Sprintf("bench-%s-%s", scheme, curve), scheme, curve); err != nil {
				return nil, fmt.Errorf("key on %s: %w", name, err)
			}
		}
	}
	b.service, err = l.Client(b.signer)
	return b, err
}

func makeKey(ctx context.Context, admin *client.Client, name string, scheme command.Scheme, curve command.Curve) (*client.Key, error) {
	cmd, err := admin.Command(&command.CreateKey{Name: name, Tenant: tenant, Scheme: scheme, Curve: curve, Signers: 2})
	if err != nil {
		return nil, err
	}
	key, err := admin.CreateKey(ctx, cmd)
	if err != nil {
		return nil, err
	}
	if key.State != tetradv1.KeyState_KEY_STATE_ACTIVE {
		return nil, fmt.Errorf("it is %s", key.State)
	}
	return key, nil
}

func administrators(l *lab.Lab) (out []*client.Client, err error) {
	for _, name := range lab.Admins {
		signer, err := lab.LoadKey(l.KeyFile(name))
		if err != nil {
			return nil, err
		}
		c, err := l.Client(signer)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// both submits a command that two administrators must sign.
func both(ctx context.Context, admins []*client.Client, body command.Body) error {
	cmd, err := admins[0].Command(body)
	if err != nil {
		return err
	}
	if err := admins[1].AddSignature(cmd); err != nil {
		return err
	}
	_, err = admins[0].Submit(ctx, cmd)
	return err
}
