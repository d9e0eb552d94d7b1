package main

import (
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// TestCertifiedByNames: what certified an answer is told by the names of the genesis.
func TestCertifiedByNames(t *testing.T) {
	v := &vault{genesis: &genesis.Genesis{}}
	for _, name := range []string{"us", "eu", "ch", "sg"} {
		v.genesis.Document.Regions = append(v.genesis.Document.Regions, genesis.Region{Name: name})
	}
	var c chain.Cover
	for _, r := range []identity.RegionID{1, 3, 4} {
		c.Certificate.Witnesses = append(c.Certificate.Witnesses, chain.Witness{Signature: chain.Signature{Region: r}})
	}
	names := v.certifiedBy(&client.Certified{Cover: c.Encode()})
	if got := strings.Join(names, " "); got != "us ch sg" {
		t.Errorf("certified by %q", got)
	}
	if got := certifiedBy(names); got != ", certified by us, ch, sg" {
		t.Errorf("shown as %q", got)
	}
	if got := v.certifiedBy(nil); got != nil || certifiedBy(got) != "" {
		t.Errorf("certified by %v without a proof", got)
	}
}
