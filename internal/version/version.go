// Package version names the running release.
package version

// Version is set by the linker; "dev" in an ordinary go build.
var Version = "dev"
