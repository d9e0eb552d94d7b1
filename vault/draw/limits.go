package draw

// Limits of what is decoded or computed.
const (
	maxRegions = 16   // regions that may hold shares
	maxSession = 1024 // bytes naming a ceremony
)
