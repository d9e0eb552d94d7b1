//go:build race

package cluster_test

// raced: the race detector is on, and everything takes six times as long. The longest
// simulations are left to the run without it, which make test does too.
const raced = true
