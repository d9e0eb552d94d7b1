package chain

// Limits of stored and received forms, in bytes unless said otherwise.
const (
	maxRegions     = 8 // signatures in one certificate, proof or attestation
	maxProof       = 2 << 10
	maxJustify     = 4 << 10
	maxMembers     = 16
	maxServerID    = 64
	maxAddr        = 256
	maxAttestation = 12 << 10
	maxSessions    = 8       // session certificates in one evidence file
	maxSessionCert = 2 << 10 // an RSA signature included
	maxExhibit     = 2<<20 + 64<<10
	maxEvidence    = 2*maxExhibit + 32<<10
	maxBranch      = 4096 // headers that lead to one report
	maxIntroduced  = 4    // session certificates in one cover
	maxCover       = 256  // headers between an entry and the certificate that covers it

	// DefaultWindow is how many uncertified acks of one region a Collector keeps.
	DefaultWindow = 256
)

// MaxCover bounds an encoded Cover.
const MaxCover = 17 + maxQuorumBytes + maxCover*headerSize + maxIntroduced*(4+maxSessionCert)

// maxQuorumBytes bounds a certificate of maxRegions acks.
const maxQuorumBytes = 2 + tupleSize + maxRegions*(8+signatureSize)
