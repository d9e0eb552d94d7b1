// Package liar has one region of a whole vault lie, in simulated time: four real nodes,
// real cryptography, and a region that keeps its key and its word to nobody. Each lie is
// met by a defence and harms nobody; with that defence switched off it does harm, so that
// the test can fail. All of it is in test builds (tag liar): make liar. See
// docs/design/liar.md.
package liar
