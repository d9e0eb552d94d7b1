//go:build !goexperiment.runtimesecret

package erase

// Available reports whether After erases anything in this build.
const Available = false

// After runs f.
func After(f func()) { f() }

// Thoroughly runs f and overwrites the stack it ran on: for what is rare, and done by
// libraries that leave secrets there. The stack is made to reach so far before, since one
// that grows leaves its old self lying about.
func Thoroughly(f func()) {
	overwrite()
	f()
	overwrite()
}

// depth is in bytes; ML-KEM needs about a third of it.
const depth = 48 << 10

var last byte

//go:noinline
func overwrite() {
	var stack [depth]byte
	for i := range stack {
		stack[i] = last
	}
}
