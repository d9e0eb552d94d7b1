package intent

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent/solana"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Message is what each drawn region signs: a 32-byte digest for ECDSA keys, the bytes
// themselves for Ed25519.
type Message = []byte

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

	// Of threshold keys, which have no PublicKeys: the key itself and its chain code.
	Threshold bool
	Point     []byte // 33 bytes compressed, or 32 for Ed25519
	Chain     [32]byte
	Fallback  *Fallback     // script path of its Taproot outputs, nil for none
	Outside   bool          // it was known outside the vault before it was brought in
	Asset     command.Asset // which children sign; 0: any
}

// Spend is one message of a threshold key: the drawn regions together make one signature
// on it, under the child at Path, for Taproot under the output key of that child.
type Spend struct {
	Message Message
	Path    []uint32
	Taproot bool
	Root    []byte // Merkle root of the output's scripts, empty without; Taproot only
}

// Intent is a decoded payload.
type Intent struct {
	Kind        command.Kind
	Hash        command.Hash
	Messages    []Message    // in order of the PSBT's inputs; one for other kinds
	Transaction *Transaction // of a PSBT, else nil
	Size        int          // bytes of the payload
	SHA256      [32]byte     // of the payload, to compare by eye

	// Of threshold keys.
	Spends []Spend         // in order of Messages
	Key    []byte          // that signs, derived; nil for a PSBT, whose inputs have their own
	Solana *solana.Message // of a Solana payload, else nil
}

// Decode decodes a payload for a key, or says with a coded error (Malformed, TooLarge,
// PayloadRejected, BlindDenied) why it cannot be signed. A path names the child of a
// threshold key that is to sign.
func Decode(kind command.Kind, hash command.Hash, payload []byte, k KeyInfo, path ...uint32) (*Intent, error) {
	return decode(kind, hash, payload, k, path, true)
}

// Messages returns what each drawn region of a multisig key signs, by the same rules (for
// threshold keys there is Spends). It is what replicas use: showing a transaction to people
// can cost a hundred times more than judging it.
func Messages(kind command.Kind, hash command.Hash, payload []byte, k KeyInfo) ([]Message, error) {
	if k.Threshold {
		return nil, errs.New(errs.Invalid, "no region of a threshold key signs for itself")
	}
	in, err := decode(kind, hash, payload, k, nil, false)
	if err != nil {
		return nil, err
	}
	return in.Messages, nil
}

func decode(kind command.Kind, hash command.Hash, payload []byte, k KeyInfo, path []uint32, show bool) (*Intent, error) {
	if len(payload) == 0 {
		return nil, errs.New(errs.PayloadRejected, "%s payload is empty", kind)
	}
	if len(payload) > command.MaxPayload {
		return nil, errs.New(errs.TooLarge, "%s payload of %d bytes, limit %d", kind, len(payload), command.MaxPayload)
	}
	in := &Intent{Kind: kind, Hash: hash, Size: len(payload)}
	if show {
		in.SHA256 = sha256.Sum256(payload)
	}
	var err error
	if k.Threshold {
		err = in.decodeThreshold(payload, k, path, show)
	} else {
		err = in.decodeMultisig(payload, k, path, show)
	}
	if err != nil {
		return nil, err
	}
	return in, nil
}

func (in *Intent) decodeMultisig(payload []byte, k KeyInfo, path []uint32, show bool) error {
	if len(path) != 0 {
		return errs.New(errs.PayloadRejected, "%s payload: a path is asked for, but nothing is derived from a multisig key", in.Kind)
	}
	switch in.Kind {
	case command.KindPSBT:
		return in.decodePSBT(payload, k, show)
	case command.KindMessage:
		return in.decodeMessage(payload, k)
	case command.KindDigest:
		return in.decodeDigest(payload, k)
	case command.KindSolana:
		return errs.New(errs.PayloadRejected, "solana payload: Solana takes one signature, this is a multisig key").
			WithHint("create a threshold key on ed25519")
	}
	return unknownKind(in.Kind)
}

func unknownKind(kind command.Kind) error {
	return errs.New(errs.Invalid, "payload kind %d is unknown to this version", kind)
}

// Line is one line of a summary.
type Line struct{ Name, Value string }

// Summary says for people what would be signed.
func (in *Intent) Summary() []Line {
	lines := []Line{{"kind", in.Kind.String()}, {"size", fmt.Sprintf("%d bytes", in.Size)},
		{"sha256", hex.EncodeToString(in.SHA256[:])}}
	switch {
	case in.Transaction != nil:
		return append(lines, in.Transaction.summary()...)
	case in.Solana != nil:
		lines = append(lines, in.signingKey()...)
		for _, l := range in.Solana.Summary() {
			lines = append(lines, Line(l))
		}
		return lines
	case in.Kind == command.KindDigest:
		return append(append(lines, in.signingKey()...), Line{"digest", hex.EncodeToString(in.Messages[0])},
			Line{"warning", "a bare digest: nobody can say what it stands for"})
	}
	lines = append(append(lines, in.signingKey()...), Line{"hash", hashName(in.Hash)})
	if in.Hash != command.HashNone {
		lines = append(lines, Line{"digest", hex.EncodeToString(in.Messages[0])})
	}
	return lines
}

func (t *Transaction) summary() []Line {
	lines := []Line{{"transaction", t.TxID}, {"version", fmt.Sprint(t.Version)}}
	if t.LockTime != 0 {
		lines = append(lines, Line{"locktime", fmt.Sprint(t.LockTime)})
	}
	for i, in := range t.Inputs {
		proof := "amount as stated by the payload"
		if in.Proven {
			proof = "amount proven by its transaction"
		}
		lines = append(lines, Line{fmt.Sprintf("input %d", i), fmt.Sprintf("%s BTC from %s (%s)", bitcoins(in.Amount), in.Outpoint, proof)})
	}
	for i, out := range t.Outputs {
		to := out.Address
		if to == "" {
			to = "script " + hex.EncodeToString(out.Script)
		}
		if out.Change {
			to += " (back to this wallet)"
		}
		lines = append(lines, Line{fmt.Sprintf("output %d", i), bitcoins(out.Amount) + " BTC to " + to})
	}
	percent := 100 * float64(t.Fee) / float64(max(t.Total(), 1))
	return append(lines, Line{"leaves wallet", bitcoins(t.Spent()) + " BTC"},
		Line{"fee", fmt.Sprintf("%s BTC, %.1f%% of the inputs, about %.1f sat/vB", bitcoins(t.Fee), percent, float64(t.Fee)/float64(t.VSize))})
}

func bitcoins(satoshi int64) string {
	return fmt.Sprintf("%d.%08d", satoshi/1e8, satoshi%1e8)
}
