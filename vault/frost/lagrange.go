package frost

import "sync"

// smallNumbers are the numbers a region can have, or two regions can differ by, and their
// inverses: what Lagrange coefficients are made of.
type smallNumbers struct{ value, inverse [256]scalar }

func newSmallNumbers(g group) *smallNumbers {
	n := new(smallNumbers)
	for i := range n.value {
		n.value[i] = g.number(uint8(i))
		if i > 0 {
			n.inverse[i] = g.inverse(n.value[i])
		}
	}
	return n
}

// smallOf makes a suite's numbers when they are first needed.
func smallOf(g group) func() *smallNumbers {
	return sync.OnceValue(func() *smallNumbers { return newSmallNumbers(g) })
}

// lagrange returns, for each of the distinct regions, the coefficient by which its share
// counts in the polynomial's value at zero: the product of j/(j-i) over the others.
// Region numbers are public.
func (s *Suite) lagrange(regions []uint8) []scalar {
	n := s.small()
	out := make([]scalar, len(regions))
	for i, ri := range regions {
		product, minus := n.value[1], false
		for j, rj := range regions {
			switch {
			case i == j:
				continue
			case rj > ri:
				product = s.mul(s.mul(product, n.value[rj]), n.inverse[rj-ri])
			default:
				product = s.mul(s.mul(product, n.value[rj]), n.inverse[ri-rj])
				minus = !minus
			}
		}
		if minus {
			product = s.group.negate(product)
		}
		out[i] = product
	}
	return out
}

// evaluate returns the secret polynomial's value at region, in constant time.
func (s *Suite) evaluate(coefficients []scalar, region uint8) scalar {
	x := s.small().value[region]
	sum := s.group.number(0)
	for i := len(coefficients) - 1; i >= 0; i-- {
		next := s.group.mulAdd(sum, x, coefficients[i])
		sum.wipe()
		sum = next
	}
	return sum
}

// evaluatePoints returns the committed polynomial's value at region.
func (s *Suite) evaluatePoints(commitments []point, region uint8) point {
	x := s.small().value[region]
	sum := commitments[len(commitments)-1]
	for i := len(commitments) - 2; i >= 0; i-- {
		sum = s.group.combine(commitments[i:i+1], []scalar{x}, []point{sum})
	}
	return sum
}
