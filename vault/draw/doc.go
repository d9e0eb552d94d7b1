// Package draw is the randomness nobody can foresee and the choice made from it: a
// unique 3-of-4 threshold PRF on ristretto255 whose key the regions deal among
// themselves, and the permutation of regions it draws for each attempt.
//
//	H       = hash to group of the input (lineage, term, index, chain hash)
//	partial = x_i * H, with a proof that its logarithm is that of the region's public share
//	value   = SHA-256(domain | input | sum of l_i * partial_i) for any three partials
//
// The value is unique: whichever partials are combined, and whatever a region tries, it
// is the same or the proof fails. The package is pure: no clock, no I/O, no randomness
// but the reader a dealing is given. It knows nothing of entries, requests or regions
// beyond their numbers.
package draw
