//go:build race

package fsm_test

// raced: the race detector is on.
const raced = true
