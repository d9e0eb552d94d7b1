//go:build race

package sim

// raced: the race detector is on. Everything takes six times as long under it, so it looks
// at one seed; make test runs the whole short form without it.
const raced = true
