package pkcs11

import (
	"strings"

	"github.com/tetrad-vault/tetrad/seal"
)

// profileOf picks the vendor's profile by what the token says of itself. Unknown
// vendors get the strict one: nothing is forgiven before somebody has looked.
func profileOf(maker, model string) seal.Profile {
	switch {
	case strings.Contains(maker, "SoftHSM"):
		return seal.Profile{Name: "softhsm"}
	case strings.Contains(maker, "Mozilla"):
		// Seen with NSS 3.87: generated keys report CKA_LOCAL false and no mechanism.
		return seal.Profile{Name: "nss", LocalNotReported: true, NoGenMechanism: true}
	case strings.Contains(model, "IBM") || strings.Contains(maker, "IBM"):
		// Seen with openCryptoki 3.8.1; CKA_LOCAL alone tells imported keys there.
		return seal.Profile{Name: "opencryptoki", NoGenMechanism: true}
	case strings.Contains(maker, "TPM") || strings.Contains(model, "TPM"):
		return seal.Profile{Name: "tpm2"}
	}
	return seal.Profile{Name: "strict"}
}
