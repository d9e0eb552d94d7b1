//go:build race

package vault_test

// raced: the race detector is on.
const raced = true
