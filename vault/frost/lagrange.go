package frost

// lagrange returns, for each of the distinct regions, the coefficient by which its share
// counts in the polynomial's value at zero. Region numbers are public.
func (s *Suite) lagrange(regions []uint8) []scalar {
	g := s.group
	out := make([]scalar, len(regions))
	for i, ri := range regions {
		num, den := g.number(1), g.number(1)
		minus := g.negate(g.number(ri))
		for j, rj := range regions {
			if i != j {
				num = s.mul(num, g.number(rj))
				den = s.mul(den, g.add(g.number(rj), minus))
			}
		}
		out[i] = s.mul(num, g.inverse(den))
	}
	return out
}

// evaluate returns the secret polynomial's value at region, in constant time.
func (s *Suite) evaluate(coefficients []scalar, region uint8) scalar {
	x := s.group.number(region)
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
	x := s.group.number(region)
	sum := commitments[len(commitments)-1]
	for i := len(commitments) - 2; i >= 0; i-- {
		sum = s.group.combine(commitments[i:i+1], []scalar{x}, []point{sum})
	}
	return sum
}
