//go:build !goexperiment.runtimesecret

package frost

// protected runs f, which handles secrets. Where the toolchain has runtime/secret
// (GOEXPERIMENT=runtimesecret), registers, stack and heap used by f are erased after it;
// here only what this package wipes itself is.
func protected(f func()) { f() }
