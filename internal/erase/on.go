//go:build goexperiment.runtimesecret

package erase

import "runtime/secret"

// Available reports whether After erases anything in this build.
const Available = true

// After runs f and erases what it left in registers, on the stack and, once unreachable, on
// the heap. f starts no goroutine.
func After(f func()) { secret.Do(f) }

// Thoroughly is After in this build.
func Thoroughly(f func()) { After(f) }
