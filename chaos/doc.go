// Package chaos judges what was seen of a vault under faults: a History, recorded
// outside the nodes, and one checker for each invariant of the design that it can decide.
// Package chaos/sim makes such histories with four whole nodes in simulated time.
//
// The checkers trust no node: they work from what clients were told, what each HSM signed,
// what each region applied, and the audit log every region holds in the end. Each of them
// is itself checked with a vault that breaks the rule (chaos/sim, TestPlanted...).
//
// Nothing imports this package.
package chaos
