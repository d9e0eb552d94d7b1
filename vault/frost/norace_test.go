//go:build !race

package frost

const raceDetector = false
