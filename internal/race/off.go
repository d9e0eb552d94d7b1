//go:build !race

package race

// On: the race detector is off.
const On = false
