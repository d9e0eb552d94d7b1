//go:build !race

package fsm_test

// raced: the race detector is off.
const raced = false
