// Package model checks the rules of the certified log (docs/design/certificates.md) by exploring
// every state of small vaults: four regions, one of them a liar that may say whatever its own
// signature allows, crashes, and a network that delays, loses, repeats and reorders.
//
// Each rule is one named switch (Rule). With all of them on no flaw may be found; with one of
// them off the checker must find the flaw it guards against and print the shortest schedule.
//
// Three systems share one search: Log (entries, acks, certificates, votes, proofs, truncation,
// equivocation; also, with four honest regions, ordinary crashes), Terms (who can move the term)
// and Freeze (leases and clocks). The package is pure and imports nothing of the vault: it
// restates the rules, so that code and model can disagree.
package model
