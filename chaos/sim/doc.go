// Package sim runs a whole vault inside testing/synctest: four nodes with their
// production wiring, real TLS, raft, state machine, stores and draws, over a network and
// disks in memory; only the PKCS#11 module is a double. A seed draws a schedule of faults
// and a workload; what happens is recorded as a chaos.History and judged by its checkers.
//
// A plan repeats exactly from its seed; the run of it does not quite, since Go's scheduler
// is not part of the simulation. See docs/design/chaos.md.
package sim
