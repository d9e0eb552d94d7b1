package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsimple"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/ceremony"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// profileFile is $TETRAD_HOME/NAME.hcl. Relative paths start at that directory.
type profileFile struct {
	Addresses []string `hcl:"addresses,optional"`
	KeyFile   string   `hcl:"key_file,optional"`
	Genesis   string   `hcl:"genesis,optional"`
}

func (a *app) home() string {
	if h := a.getenv("TETRAD_HOME"); h != "" {
		return h
	}
	if c, err := os.UserConfigDir(); err == nil {
		return filepath.Join(c, "tetrad")
	}
	return ""
}

// settle fills what flags left open from the environment and then the profile.
func (a *app) settle() error {
	p, err := a.readProfile()
	if err != nil {
		return err
	}
	if len(a.address) == 0 {
		if env := a.getenv("TETRAD_ADDRESS"); env != "" {
			a.address = strings.Split(env, ",")
		} else {
			a.address = p.Addresses
		}
	}
	for _, v := range []struct {
		to           *string
		env, profile string
	}{{&a.keyFile, "TETRAD_KEY_FILE", p.KeyFile}, {&a.genesis, "TETRAD_GENESIS", p.Genesis}} {
		if *v.to == "" {
			*v.to = a.getenv(v.env)
		}
		if *v.to == "" {
			*v.to = v.profile
		}
	}
	return nil
}

func (a *app) readProfile() (p profileFile, err error) {
	name, asked := a.profile, true
	if name == "" {
		name = a.getenv("TETRAD_PROFILE")
	}
	if name == "" {
		name, asked = "default", false
	}
	if name != filepath.Base(name) || strings.HasPrefix(name, ".") {
		return p, usagef("profile %q is a name, not a path", name)
	}
	file := filepath.Join(a.home(), name+".hcl")
	b, err := os.ReadFile(file)
	if err != nil {
		if os.IsNotExist(err) && !asked {
			return p, nil
		}
		return p, errs.Wrap(errs.NotFound, err, "profile %q", name)
	}
	if err := hclsimple.Decode(file, b, nil, &p); err != nil {
		return p, errs.Wrap(errs.Invalid, err, "profile %q", name)
	}
	for _, f := range []*string{&p.KeyFile, &p.Genesis} {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(filepath.Dir(file), *f)
		}
	}
	return p, nil
}

// anchor reads the genesis the user trusts.
func (a *app) anchor() (*genesis.Genesis, error) {
	if err := a.settle(); err != nil {
		return nil, err
	}
	if a.genesis == "" {
		return nil, errs.New(errs.Invalid, "no genesis given: whom to trust is unknown").
			WithHint("--genesis FILE, TETRAD_GENESIS, or genesis in %s", filepath.Join(a.home(), "default.hcl"))
	}
	return ceremony.ReadGenesis(a.genesis)
}

// signer reads the key of the principal the user is.
func (a *app) signer() (*identity.KeySigner, error) {
	if err := a.settle(); err != nil {
		return nil, err
	}
	if a.keyFile == "" {
		return nil, errs.New(errs.Invalid, "no key file given: who you are is unknown").
			WithHint("--key-file FILE, TETRAD_KEY_FILE, or key_file in %s; vaultctl keygen makes one", filepath.Join(a.home(), "default.hcl"))
	}
	return loadKey(a.keyFile)
}

// vault is a connection with what is known of the cluster.
type vault struct {
	*client.Client
	genesis    *genesis.Genesis
	identities map[identity.RegionID]identity.PublicKey // to believe now, once askIdentities asked
}

// askIdentities asks the regions who they are, where something is going to rest on it.
func (v *vault) askIdentities(ctx context.Context) (err error) {
	v.identities, err = v.Client.Identities(ctx)
	return err
}

func (a *app) dial() (*vault, error) {
	g, err := a.anchor()
	if err != nil {
		return nil, err
	}
	s, err := a.signer()
	if err != nil {
		return nil, err
	}
	cfg := client.Config{Addresses: a.address, Cluster: g.Document.Cluster, Signer: s, Timeout: a.timeout, Dial: a.connect,
		Lifetime: a.lifetime, Lineage: g.Document.Hash(), Regions: map[identity.RegionID][]identity.PublicKey{}}
	for _, r := range g.Document.Regions {
		cfg.Regions[r.ID] = []identity.PublicKey{r.Identity}
		if len(a.address) == 0 {
			cfg.Addresses = append(cfg.Addresses, r.APIAddr)
		}
	}
	c, err := client.Dial(cfg)
	if err != nil {
		return nil, err
	}
	return &vault{Client: c, genesis: g}, nil
}

// with dials, does and closes.
func (a *app) with(ctx context.Context, do func(ctx context.Context, v *vault) error) error {
	v, err := a.dial()
	if err != nil {
		return err
	}
	defer v.Close()
	return do(ctx, v)
}

func (a *app) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, a.timeout)
}

// regionName names a region as the genesis does.
func regionName(g *genesis.Genesis, id identity.RegionID) string {
	if id >= 1 && int(id) <= len(g.Document.Regions) {
		return g.Document.Regions[id-1].Name
	}
	return "region " + itoa(uint64(id))
}

// newCommand builds and signs a command without any connection.
func newCommand(g *genesis.Genesis, s *identity.KeySigner, body command.Body, lifetime time.Duration) (*command.Command, error) {
	var id command.ID
	if err := random(id[:]); err != nil {
		return nil, err
	}
	cmd, err := command.New(body, s.Public().Fingerprint(), id, time.Now().Add(lifetime), randomReader)
	if err != nil {
		return nil, err
	}
	return cmd, cmd.Sign(context.Background(), g.Document.Cluster, s)
}
