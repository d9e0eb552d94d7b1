package solana

import "github.com/tetrad-vault/tetrad/internal/errs"

// CouldBeMessage reports whether a node could take these bytes for a transaction message:
// they read as one, whether or not it keeps the rules, or are marked as a version that is
// not known here. Who signs bytes as a plain message with a key that also pays on Solana
// asks this first, because on Solana the signature of a message is a payment. (Text that
// wallets sign off-chain begins with 0xff, which marks no version.) What is too short to
// name a fee payer and a blockhash, like a hash, is no message of any version.
func CouldBeMessage(b []byte) bool {
	if len(b) < minMessage {
		return false
	}
	if version := b[0]; version > 0x80 && version < 0xff {
		return true
	}
	_, err := Decode(b)
	return err == nil || errs.CodeOf(err) == errs.PayloadRejected
}
