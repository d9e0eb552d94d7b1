//go:build !race

package vault_test

// raced: the race detector is off.
const raced = false
