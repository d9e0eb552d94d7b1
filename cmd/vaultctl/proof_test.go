package main

import (
	"encoding/json"
	"testing"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
)

// TestProofByNames: what an answer rests on is told by the names of the genesis, whether
// it was certified, said by regions, or both.
func TestProofByNames(t *testing.T) {
	v := &vault{genesis: &genesis.Genesis{}}
	for _, name := range []string{"us", "eu", "ch", "sg"} {
		v.genesis.Document.Regions = append(v.genesis.Document.Regions, genesis.Region{Name: name})
	}
	certified, said := []client.RegionID{1, 3, 4}, []client.RegionID{2, 4}
	for _, c := range []struct {
		proof               client.Proof
		under, behind, json string
	}{
		{client.Proof{Certified: certified}, "us, ch, sg", ", certified by us, ch, sg", `{"certified_by":["us","ch","sg"]}`},
		{client.Proof{Said: said}, "said by regions eu and sg", ", said by regions eu and sg", `{"said_by":["eu","sg"]}`},
		{client.Proof{Certified: certified, Said: said}, "us, ch, sg; said by regions eu and sg", ", certified by us, ch, sg; said by regions eu and sg",
			`{"certified_by":["us","ch","sg"],"said_by":["eu","sg"]}`},
		{client.Proof{}, "", "", `{}`},
	} {
		p := v.proof(c.proof)
		b, err := json.Marshal(p)
		if p.String() != c.under || p.behind() != c.behind || string(b) != c.json || err != nil {
			t.Errorf("%+v is shown as %q, %q and %s (%v)", c.proof, p.String(), p.behind(), b, err)
		}
	}
}
