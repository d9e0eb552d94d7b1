package main

import (
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestAddressesAreTheVaults: what is shown is what the outcome says, not what the key showed
// before; branches, explicit paths and the gap that wallets do not look past.
func TestAddressesAreTheVaults(t *testing.T) {
	s := newStage(t)
	s.key(1, "ed", command.Ed25519)
	k, _ := s.c.State.Key(command.KeyID{1})
	n := *k
	n.Issued, n.Given = 7, fsm.Given{Branches: []fsm.Branch{{Path: []uint32{0}, Next: 7}, {Path: []uint32{5}, Next: 2}}}
	s.c.State.PutKey(n)
	var list []childView
	s.json(&list, "key", "address", "ed", "--tenant", "acme", "--count", "2")
	if len(list) != 2 || list[0].Path != "m/0/7" || list[1].Path != "m/0/8" || list[0].Address == list[1].Address {
		t.Errorf("%+v", list)
	}
	s.json(&list, "key", "address", "ed", "--tenant", "acme", "--branch", "m/3")
	if len(list) != 1 || list[0].Path != "m/3/0" {
		t.Errorf("%+v", list)
	}
	s.json(&list, "key", "address", "ed", "--tenant", "acme", "--branch", "m")
	if len(list) != 1 || list[0].Path != "m/0" {
		t.Errorf("%+v", list)
	}
	s.c.State.PutKey(n)
	var shown signingKeyView
	s.json(&shown, "key", "show", "ed", "--tenant", "acme")
	if b := shown.Threshold.Branches; len(b) != 2 || b[0] != (branchView{"m/0", "m/0/7"}) || b[1] != (branchView{"m/5", "m/5/2"}) {
		t.Errorf("%+v", b)
	}
	for path, warned := range map[string]bool{"m/0/26": false, "m/0/27": true, "m/0/3": false} {
		code, out, said := s.run(t.Context(), "key", "address", "ed", "--tenant", "acme", "--path", path)
		if code != 0 || !strings.HasPrefix(out, path+"  ") || strings.Contains(said, "addresses of m/0 are passed over") != warned {
			t.Errorf("%s: exit %d\n%s%s", path, code, out, said)
		}
	}
	s.fails(errs.ExitUsage, "--again is for --path", "key", "address", "ed", "--tenant", "acme", "--again")
	s.fails(errs.ExitUsage, "leave --branch away", "key", "address", "ed", "--tenant", "acme", "--path", "m/1", "--branch", "m")
	s.fails(errs.ExitUsage, "nothing is derived below", "key", "address", "ed", "--tenant", "acme", "--branch", "m/1/2/3/4/5/6/7/8")
}

// TestAssetClass: of a key with a class nothing has an address that the vault does not sign
// for, and none on another chain.
func TestAssetClass(t *testing.T) {
	s := newStage(t)
	s.key(1, "btc", command.Secp256k1)
	s.key(2, "atom", command.Ed25519)
	for id, a := range map[byte]command.Asset{1: command.AssetBitcoinTestnet, 2: command.AssetCosmos} {
		k, _ := s.c.State.Key(command.KeyID{id})
		n := *k
		n.Asset = a
		s.c.State.PutKey(n)
	}
	var v signingKeyView
	s.json(&v, "key", "show", "btc", "--tenant", "acme", "--network", "testnet")
	if th := v.Threshold; v.Address != "" || v.Descriptor != "" || v.PkScript != "" || th.Asset != "bitcoin-testnet" || len(th.Descriptors) != 2 ||
		th.Template != "m/branch/index, branch 0 to 1; BIP-44, BIP-86, the key at m/86'/1'/account'" {
		t.Errorf("%+v %+v", v, th)
	}
	var c childView
	s.json(&c, "key", "derive", "btc", "m/1", "--tenant", "acme")
	if c.Address != "" || c.Descriptor != "" || c.Xpub == "" {
		t.Errorf("a branch: %+v", c)
	}
	s.json(&c, "key", "derive", "btc", "m/1/4", "--tenant", "acme")
	if !strings.HasPrefix(c.Address, "tb1p") || c.Chain != "bitcoin-testnet" {
		t.Errorf("%+v", c)
	}
	s.json(&c, "key", "derive", "btc", "m/1/4", "--tenant", "acme", "--chain", "bitcoin-regtest")
	if !strings.HasPrefix(c.Address, "bcrt1p") {
		t.Errorf("%+v", c)
	}
	var list []childView
	s.json(&list, "key", "address", "atom", "--tenant", "acme")
	if len(list) != 1 || list[0].Path != "m/0/0" || !strings.HasPrefix(list[0].Address, "cosmos1") {
		t.Errorf("%+v", list)
	}
	const off = "not of the template of asset class"
	s.fails(errs.ExitFailure, off, "key", "derive", "btc", "m/2", "--tenant", "acme")
	s.fails(errs.ExitFailure, off, "key", "address", "btc", "--tenant", "acme", "--path", "m/0")
	s.fails(errs.ExitFailure, off, "key", "address", "atom", "--tenant", "acme", "--branch", "m/1")
	s.fails(errs.ExitFailure, "no address on bitcoin", "key", "derive", "btc", "m/0/1", "--tenant", "acme", "--chain", "bitcoin")
	s.fails(errs.ExitFailure, "no address on solana", "key", "address", "atom", "--tenant", "acme", "--chain", "solana")
	s.fails(errs.ExitFailure, off, "sign", "--key", "atom", "--message", s.write("m", []byte("x")), "--path", "m/1/0", "--wait", "--key-file", s.path("svc.key"))
}
