package draw

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// Pearson's chi-square over 100,000 draws from fixed values; bounds are the 99.9%
// quantiles, so the fixed outcome below them is no accident of tuning.
func TestPermutationIsUniform(t *testing.T) {
	const draws = 100_000
	for _, c := range []struct {
		eligible []uint8
		orders   int
		bound    float64
	}{
		{[]uint8{1, 2, 3, 4}, 24, 49.73}, // 23 degrees of freedom
		{[]uint8{1, 3, 4}, 6, 20.52},     // 5
		{[]uint8{2, 4}, 2, 10.83},        // 1
	} {
		orders, pairs := map[string]int{}, map[string]int{}
		for i := range draws {
			var v [32]byte
			binary.BigEndian.PutUint64(v[:], uint64(i))
			p := Permutation(v, [16]byte{7}, 1, c.eligible)
			orders[fmt.Sprint(p)]++
			first := slices.Clone(p[:2])
			slices.Sort(first)
			pairs[fmt.Sprint(first)]++
		}
		if len(orders) != c.orders {
			t.Errorf("%v: %d orders seen, want %d", c.eligible, len(orders), c.orders)
		}
		if x := chiSquare(orders, c.orders, draws); x > c.bound {
			t.Errorf("%v: chi-square of the orders is %.1f, bound %.1f", c.eligible, x, c.bound)
		}
		if len(c.eligible) == 4 {
			if x := chiSquare(pairs, 6, draws); x > 20.52 {
				t.Errorf("chi-square of the pairs is %.1f, bound 20.52", x)
			}
		}
	}
}

func chiSquare(counts map[string]int, classes, total int) (x float64) {
	want := float64(total) / float64(classes)
	seen := 0
	for _, n := range counts {
		x += (float64(n) - want) * (float64(n) - want) / want
		seen++
	}
	return x + float64(classes-seen)*want
}

func TestPermutationIsOfTheSet(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		set := rapid.SliceOfDistinct(rapid.Uint8Range(1, 16), rapid.ID[uint8]).Draw(t, "set")
		var value [32]byte
		copy(value[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "value"))
		before := slices.Clone(set)
		p := Permutation(value, [16]byte{1}, 1, set)
		if !slices.Equal(before, set) {
			t.Fatal("the argument was changed")
		}
		again := Permutation(value, [16]byte{1}, 1, rapid.Permutation(set).Draw(t, "order"))
		if !slices.Equal(p, again) {
			t.Fatal("the order of the argument matters")
		}
		slices.Sort(p)
		slices.Sort(set)
		if !slices.Equal(p, set) {
			t.Fatalf("%v is no permutation of %v", p, set)
		}
	})
}

func TestPermutationBindsRequestAndAttempt(t *testing.T) {
	set := []uint8{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}
	seen := map[string]bool{}
	for r := range uint8(10) {
		for a := range uint8(4) {
			seen[fmt.Sprint(Permutation([32]byte{1}, [16]byte{r}, a, set))] = true
		}
	}
	if len(seen) != 40 {
		t.Fatalf("%d different orders for 40 attempts", len(seen))
	}
}
