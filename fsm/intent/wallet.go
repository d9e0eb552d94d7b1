package intent

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/btcsuite/btcd/txscript"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Network selects how addresses are shown. The zero value is Mainnet.
type Network uint8

// The networks.
const (
	Mainnet Network = 0
	Testnet Network = 1
	Signet  Network = 2
	Regtest Network = 3
)

var networkNames = [...]string{"mainnet", "testnet", "signet", "regtest"}

// ParseNetwork reads a network's name.
func ParseNetwork(s string) (Network, error) {
	if i := slices.Index(networkNames[:], s); i >= 0 {
		return Network(i), nil
	}
	return 0, errs.New(errs.Invalid, "network %q is unknown", s).WithHint("one of mainnet, testnet, signet, regtest")
}

// String returns the name used on the command line.
func (n Network) String() string {
	if int(n) < len(networkNames) {
		return networkNames[n]
	}
	return "invalid"
}

func (n Network) params() *chaincfg.Params {
	switch n {
	case Testnet:
		return &chaincfg.TestNet3Params
	case Signet:
		return &chaincfg.SigNetParams
	case Regtest:
		return &chaincfg.RegressionNetParams
	}
	return &chaincfg.MainNetParams
}

// addressOf returns the address of an output script, "" where it has none.
func (n Network) addressOf(script []byte) string {
	_, addrs, _, err := txscript.ExtractPkScriptAddrs(script, n.params())
	if err != nil || len(addrs) != 1 {
		return ""
	}
	if again, err := txscript.PayToAddrScript(addrs[0]); err != nil || !bytes.Equal(again, script) {
		return "" // bare keys and other scripts that an address would misname
	}
	return addrs[0].EncodeAddress()
}

// Wallet is the P2WSH k-of-n wallet (sortedmulti, BIP-67) of a secp256k1 key.
type Wallet struct {
	signers uint8
	keys    []PublicKey // in order of the script
	script  []byte
}

// NewWallet derives the wallet from a key's attested public keys.
func NewWallet(k KeyInfo) (*Wallet, error) {
	if k.Curve != command.Secp256k1 {
		return nil, errs.New(errs.PayloadRejected, "a %s key has no Bitcoin wallet: PSBTs need secp256k1", k.Curve)
	}
	if n := len(k.PublicKeys); k.Signers < 1 || int(k.Signers) > n || n > command.MaxRegions {
		return nil, errs.New(errs.Invalid, "wallet of %d signers and %d keys, want 1 to n of at most %d", k.Signers, n, command.MaxRegions)
	}
	keys := slices.Clone(k.PublicKeys)
	slices.SortFunc(keys, func(a, b PublicKey) int { return bytes.Compare(a.Key, b.Key) })
	b := txscript.NewScriptBuilder().AddInt64(int64(k.Signers))
	for i, key := range keys {
		if err := CheckPublicKey(k.Curve, key.Key); err != nil {
			return nil, errs.Wrap(errs.Invalid, err, "wallet key of region %d", key.Region)
		}
		if i > 0 && bytes.Equal(key.Key, keys[i-1].Key) {
			return nil, errs.New(errs.Invalid, "regions %d and %d have the same wallet key", keys[i-1].Region, key.Region)
		}
		b.AddData(key.Key)
	}
	script, err := b.AddInt64(int64(len(keys))).AddOp(txscript.OP_CHECKMULTISIG).Script()
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "wallet script")
	}
	return &Wallet{k.Signers, keys, script}, nil
}

// WitnessScript returns the k-of-n script.
func (w *Wallet) WitnessScript() []byte { return bytes.Clone(w.script) }

// PkScript returns the P2WSH output script.
func (w *Wallet) PkScript() []byte {
	h := sha256.Sum256(w.script)
	return append([]byte{txscript.OP_0, txscript.OP_DATA_32}, h[:]...)
}

// Address returns the wallet's address.
func (w *Wallet) Address(n Network) string {
	h := sha256.Sum256(w.script)
	a, err := btcutil.NewAddressWitnessScriptHash(h[:], n.params())
	if err != nil {
		panic("intent: SHA-256 is not 32 bytes") // the only error it has
	}
	return a.EncodeAddress()
}

func (w *Wallet) regionOf(key []byte) (identity.RegionID, bool) {
	for _, k := range w.keys {
		if bytes.Equal(k.Key, key) {
			return k.Region, true
		}
	}
	return 0, false
}

func (w *Wallet) keyOf(region identity.RegionID) ([]byte, bool) {
	for _, k := range w.keys {
		if k.Region == region {
			return k.Key, true
		}
	}
	return nil, false
}
