package config

const (
	maxFile  = 256 << 10
	maxName  = 55 // with "-" and eight hex digits a region's server id stays within 64
	maxLabel = 32 // PKCS#11 token labels
)
