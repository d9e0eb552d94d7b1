package frost

// Limits of what is decoded or computed.
const (
	maxRegions    = 16      // regions that may hold shares of one key
	minThreshold  = 2       // a threshold of one would be no threshold
	maxMessage    = 1 << 20 // bytes of one message
	minSession    = 16      // bytes that name a ceremony
	maxSession    = 1024
	maxPurpose    = 256  // bytes that name what a key is for
	maxPath       = 16   // levels of derivation in one call
	maxPool       = 4096 // nonces prepared and not yet used
	mintBatch     = 32   // nonces that share an inversion
	minHedge      = 32   // bytes of a region's secret that hedges its nonces
	maxHedge      = 64
	maxFaults     = 64 // faults a ceremony remembers
	hardenedStart = 1 << 31
)
