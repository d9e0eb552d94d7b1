package vault

// What tests of key ceremonies say in a region's place.
var (
	CeremonyTerms = ceremonyTerms
	DealtInfo     = dealtInfo
	ShareInfo     = shareInfo
)
