// Package pkcs11 reaches a token through a vendor's PKCS#11 module. It alone knows that
// standard and its C binding: above it there is only seal.Token. No policy lives here,
// and nothing of the vault: it turns calls into PKCS#11 and errors into seal's faults.
//
// A module is loaded once per process and shares login and everything else among all
// who use it, so a process opens a module through one Module value.
package pkcs11
