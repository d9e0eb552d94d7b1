package node

import (
	"fmt"
	"maps"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/fsm"
)

func TestAccusationsAsMetrics(t *testing.T) {
	files := []*chain.Evidence{{Kind: chain.RivalEntries, Accused: 2}, {Kind: chain.RivalEntries, Accused: 2},
		{Kind: chain.FalseTimeout, Accused: 1}, {Kind: chain.RivalVotes, Accused: 99}} // 99: no region of ours, so no label either
	regions := []*fsm.Region{{ID: 1, Name: "alpha", Status: fsm.RegionActive}, {ID: 2, Name: "beta", Status: fsm.RegionQuarantined}}
	reg := prometheus.NewRegistry()
	reg.MustRegister(newAccusations(func() []*chain.Evidence { return files }, func() []*fsm.Region { return regions }))
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += fmt.Sprintf(" %s=%s", l.GetName(), l.GetValue())
			}
			got[name] = m.GetGauge().GetValue()
		}
	}
	want := map[string]float64{"tetrad_evidence_total kind=false time-out region=alpha": 1, "tetrad_evidence_total kind=rival entries region=beta": 2,
		"tetrad_quarantined region=alpha": 0, "tetrad_quarantined region=beta": 1}
	if !maps.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
