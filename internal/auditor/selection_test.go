package auditor

import (
	"fmt"
	"math"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Values from tables of the chi-square distribution.
func TestChiSquareTail(t *testing.T) {
	for _, c := range []struct {
		x    float64
		n    int
		want float64
	}{{3.841, 1, 0.05}, {6.635, 1, 0.01}, {5.991, 2, 0.05}, {7.815, 3, 0.05}, {11.070, 5, 0.05}, {20.515, 5, 0.001}, {9.488, 4, 0.05}, {0, 5, 1}, {1, 0, 1}} {
		if got := chiSquareTail(c.x, c.n); math.Abs(got-c.want) > 2e-4*max(1, c.want/0.05) {
			t.Errorf("chi-square %v with %d degrees: %v, want %v", c.x, c.n, got, c.want)
		}
	}
}

func TestSubsets(t *testing.T) {
	got := fmt.Sprint(subsets([]identity.RegionID{1, 2, 4}, 2))
	if got != "[[1 2] [1 4] [2 4]]" {
		t.Error(got)
	}
}

// A draw that always picks one pair shows.
func TestBiasShows(t *testing.T) {
	b := newBooks()
	for i := range 60 {
		b.count(&attempt{eligible: []identity.RegionID{1, 2, 3, 4}, signers: 2, order: []identity.RegionID{1 + identity.RegionID(i%2), 3}})
	}
	s := b.selections()[0]
	if s.Draws != 60 || s.P > 1e-9 || s.ChiSq != 120 {
		t.Errorf("%+v", s)
	}
}
