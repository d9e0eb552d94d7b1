//go:build !liar

package liar

// Defends reports that a defence is in force: always.
func Defends(Defence) bool { return true }
