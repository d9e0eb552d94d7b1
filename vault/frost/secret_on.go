//go:build goexperiment.runtimesecret

package frost

import "runtime/secret"

// protected runs f, which handles secrets, and erases what it left in registers, on the
// stack and, once unreachable, on the heap.
func protected(f func()) { secret.Do(f) }
