//go:build race

package race

// On: the race detector is on, and everything takes six to twenty times as long.
const On = true
