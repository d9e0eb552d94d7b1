package intent

import (
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Message is what each drawn region signs: a 32-byte digest for ECDSA keys, the bytes
// themselves for Ed25519.
type Message = []byte

// Network selects how addresses are shown. The zero value is Mainnet.
type Network uint8

// The networks.
const (
	Mainnet Network = 0
	Testnet Network = 1
	Signet  Network = 2
	Regtest Network = 3
)

// ParseNetwork reads a network's name.
func ParseNetwork(s string) (Network, error) { return 0, errTodo }

// String returns the name used on the command line.
func (n Network) String() string { return "" }

// PublicKey is one region's attested public key, in the form command.Curve says.
type PublicKey struct {
	Region identity.RegionID
	Key    []byte
}

// KeyInfo is what decoding must know of the key.
type KeyInfo struct {
	Curve      command.Curve
	Signers    uint8       // k
	PublicKeys []PublicKey // ascending by region
	AllowBlind bool
	Network    Network // for showing addresses only: nothing that is signed depends on it
}

// Intent is a decoded payload.
type Intent struct {
	Kind        command.Kind
	Hash        command.Hash
	Messages    []Message    // in order of the PSBT's inputs
	Transaction *Transaction // of a PSBT, else nil
	Size        int          // bytes of the payload
}

// Transaction is what a PSBT would do.
type Transaction struct {
	PSBT     uint32 // 0 or 2
	TxID     string // of the unsigned transaction, as explorers show it: witness does not change it
	Version  int32
	LockTime uint32
	Inputs   []Input
	Outputs  []Output
	Fee      int64 // satoshi
	VSize    int64 // virtual bytes once signed, upper estimate
}

// Input is one input, always of the key's own wallet.
type Input struct {
	Outpoint string // txid:index
	Amount   int64  // satoshi
	Sequence uint32
}

// Output is one output.
type Output struct {
	Amount  int64 // satoshi
	Script  []byte
	Address string // "" where the script has none
	Change  bool   // back to the key's own wallet
}

// Decode decodes a payload for a key, or says with a coded error (Malformed, TooLarge,
// PayloadRejected, BlindDenied, Invalid) why it cannot be signed.
func Decode(kind command.Kind, hash command.Hash, payload []byte, k KeyInfo) (*Intent, error) {
	return nil, errTodo
}

// Line is one line of a summary.
type Line struct{ Name, Value string }

// Summary says for people what would be signed.
func (in *Intent) Summary() []Line { return nil }

// Digest hashes a message as h declares, for an ECDSA key.
func Digest(h command.Hash, message []byte) ([32]byte, error) { return [32]byte{}, errTodo }

// Verify reports whether sig is a valid signature of message: 64 bytes r||s with low s
// over the 32-byte digest, or an Ed25519 signature over the bytes.
func Verify(curve command.Curve, pub, message, sig []byte) bool { return false }

// NormalizeLowS returns a 64-byte ECDSA signature with the lower of s and n-s (HSMs
// return either); an Ed25519 signature as it is.
func NormalizeLowS(curve command.Curve, sig []byte) ([]byte, error) { return nil, errTodo }

// SignatureSet is one region's signatures, one a message; convertible from fsm.SignatureSet.
type SignatureSet struct {
	Region     identity.RegionID
	Signatures [][]byte
}

// Wallet is the P2WSH k-of-n wallet (sortedmulti, BIP-67) of a secp256k1 key.
type Wallet struct {
	script []byte
}

// NewWallet derives the wallet from a key's attested public keys.
func NewWallet(k KeyInfo) (*Wallet, error) { return nil, errTodo }

// WitnessScript returns the k-of-n script.
func (w *Wallet) WitnessScript() []byte { return w.script }

// PkScript returns the P2WSH output script.
func (w *Wallet) PkScript() []byte { return nil }

// Address returns the wallet's address.
func (w *Wallet) Address(n Network) string { return "" }

// Descriptor returns wsh(sortedmulti(k,...)) with its checksum (BIP-380, BIP-383).
func (w *Wallet) Descriptor() string { return "" }

// Combine verifies the regions' signatures and adds them to the PSBT as partial
// signatures. Version 0 or 2 comes out as it came in.
func (w *Wallet) Combine(psbt []byte, sets []SignatureSet) ([]byte, error) { return nil, errTodo }

// Finalize returns the raw transaction of a PSBT that holds enough partial signatures.
func (w *Wallet) Finalize(psbt []byte) ([]byte, error) { return nil, errTodo }

var errTodo = errs.New(errs.Internal, "intent: not yet implemented")
