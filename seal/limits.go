package seal

import "time"

// Bounds of this room.
const (
	maxPlaintext   = 64 << 20         // one sealed blob
	maxSeals       = 1 << 40          // blobs under one subkey: what the nonce's counter can hold
	maxOpeners     = 256              // derived subkeys kept for opening
	maxRootKeys    = 64               // versions in a keyring
	maxSecrets     = 16               // named secrets in an unseal file
	maxSecretBytes = 16 << 10         // each
	maxLabel       = 128              // PKCS#11 labels
	maxPIN         = 256              // bytes
	maxWrapped     = 1 << 20          // plaintext of Wrap
	maxState       = 4 << 20          // encoded unseal file
	maxMessage     = 1 << 20          // signed with Ed25519
	maxHandles     = 4096             // object handles remembered by a session
	maxHung        = 4                // calls that may hang in the token beside Sessions
	maxCopies      = 16               // rounds of destroying keys of one label
	defaultTimeout = 5 * time.Second  // of one token call
	generateTime   = 60 * time.Second // of generating a key pair
	retryAfter     = time.Second      // between attempts to initialise a failed token again
)
