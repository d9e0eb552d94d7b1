// Package liar lets one of four real vaultd processes lie: built with the tag, on
// loopback, with a SoftHSM token each, told by a script what to say. What each lie is
// after, and with which defence it meets, stands in docs/design/liar.md; chaos/liar tells
// the same ones in simulated time. make liar runs all, make test a few.
package liar
