// Package ceremony is genesis: the three rounds in which four regions, each at its
// own site with its own HSM, found a cluster. One reviewable plan drives it; what
// crosses between sites are text files signed by the regions' identity keys.
//
//	plan ─> enrol (x4) ─> contribute (x4) ─> sign (x4), approve (admins), officers ─> finish ─> install (x4)
//
// No file that leaves a site holds anything an outsider could use: contributions
// are sealed to the receiving region's HSM, officers' shares to their age keys.
// Nothing here talks to the network, and no running node needs this package for
// more than reading what install left behind (Load).
package ceremony
