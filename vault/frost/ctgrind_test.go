//go:build ctgrind && amd64

package frost

import (
	"fmt"
	"testing"
	"unsafe"
)

// clientRequest speaks to valgrind (valgrind.h).
func clientRequest(args *[6]uint64) uint64

const (
	makeUndefined = 0x4d430001 // memcheck.h
	makeDefined   = 0x4d430002
)

func markBytes(request uint64, p unsafe.Pointer, n uintptr) {
	args := [6]uint64{request, uint64(uintptr(p)), uint64(n)}
	clientRequest(&args)
}

// mark makes the memory of a scalar a secret in memcheck's eyes, or public again.
func mark(request uint64, k scalar) {
	switch k := k.(type) {
	case *edScalar:
		markBytes(request, unsafe.Pointer(k), unsafe.Sizeof(*k))
	case *secpScalar:
		markBytes(request, unsafe.Pointer(k), unsafe.Sizeof(*k))
	}
}

// TestSecretsChild runs under memcheck: it computes with scalars whose memory it declared
// undefined, and memcheck reports every branch and every address that depends on one.
func TestSecretsChild(t *testing.T) {
	for _, s := range suites {
		ops := secretOperations(t, s)
		for _, name := range sortedNames(ops) {
			k := randomScalarOf(t, s)
			ops[name](s.group.add(k, s.group.number(0))) // tables
			fmt.Printf("begin\t%v, %s\n", s, name)
			mark(makeUndefined, k)
			ops[name](k)
			mark(makeDefined, k)
		}
	}
}

// secretOperations leaves out what becomes public by itself: the affine product, whose
// encoding decides whether it is the identity, and that a share decodes.
func secretOperations(t testing.TB, s *Suite) map[string]func(k scalar) {
	ops := operations(t, s)
	delete(ops, "beacon share")
	if s == BIP340 {
		ops["base multiplication"] = func(k scalar) { combMultiply(&k.(*secpScalar).ModNScalar) }
		delete(ops, "many of them")
	}
	return ops
}
