// Package erase leads to the toolchain's runtime/secret where the build has it
// (GOEXPERIMENT=runtimesecret, which make build sets where it can): what a function that
// handles secrets leaves behind is erased, also by libraries that cannot be told to. Without
// it, only what callers wipe themselves is.
package erase
