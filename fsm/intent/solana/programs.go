package solana

import (
	"crypto/sha256"
	"fmt"
	"math/bits"
	"strings"
)

// The programs whose calls are read.
var (
	System        = Address{}
	Token         = mustAddress("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA")
	Token2022     = mustAddress("TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb")
	ComputeBudget = mustAddress("ComputeBudget111111111111111111111111111111")
)

// Precompiled programs that verify signatures. Each signature, counted by the first byte of
// data, costs like one of the transaction's own.
var verifiers = map[Address]bool{
	mustAddress("Ed25519SigVerify111111111111111111111111111"): true,
	mustAddress("KeccakSecp256k11111111111111111111111111111"): true,
	mustAddress("Secp256r1SigVerify1111111111111111111111111"): true,
}

var programNames = map[Address]string{System: "system", Token: "token", Token2022: "token-2022", ComputeBudget: "compute budget"}

// Kind says what a call was read as.
type Kind uint8

// The kinds. Other is shown by program, accounts and the hash of its data.
const (
	Other Kind = iota
	SystemTransfer
	AdvanceNonce // the blockhash is a durable nonce: the transaction does not expire
	TokenTransfer
	TokenTransferChecked
	HeapFrame
	UnitLimit
	UnitPrice
	AccountsDataLimit
)

// Call is an instruction as an approver sees it.
type Call struct {
	Kind     Kind
	Program  Address
	From, To Account   // of a transfer; token accounts, not owners, for tokens
	Mint     Account   // of TokenTransferChecked
	Owner    Account   // who allows a token transfer
	Amount   uint64    // lamports, smallest units of the token, or the value that is set
	Decimals uint8     // of TokenTransferChecked
	Accounts []Account // all of them, in order
	further  int       // how many of them stand behind those that the kind names
	DataHash [32]byte  // SHA-256
	DataSize int
}

// Calls reads all instructions. What has not exactly the layout of a known call is Other.
func (m *Message) Calls() []Call {
	calls := make([]Call, len(m.Instructions))
	for i, in := range m.Instructions {
		c := Call{Program: m.Accounts[in.Program].Address, DataHash: sha256.Sum256(in.Data), DataSize: len(in.Data)}
		for _, a := range in.Accounts {
			c.Accounts = append(c.Accounts, m.Accounts[a])
		}
		switch c.Program {
		case System:
			c.readSystem(in.Data)
		case Token, Token2022:
			c.readToken(in.Data)
		case ComputeBudget:
			c.readBudget(in.Data)
		}
		calls[i] = c
	}
	return calls
}

func (c *Call) readSystem(data []byte) {
	switch {
	case len(data) == 12 && u32(data) == 2 && len(c.Accounts) == 2:
		c.Kind, c.From, c.To, c.Amount = SystemTransfer, c.Accounts[0], c.Accounts[1], u64(data[4:])
	case len(data) == 4 && u32(data) == 4 && len(c.Accounts) == 3:
		c.Kind = AdvanceNonce
	}
}

// readToken reads transfers. Behind the owner stand its signers, where it is a multisig, and
// for token-2022 what a mint's own rules ask for.
func (c *Call) readToken(data []byte) {
	a := c.Accounts
	switch {
	case len(data) == 9 && data[0] == 3 && len(a) >= 3:
		c.Kind, c.From, c.To, c.Owner, c.Amount, c.further = TokenTransfer, a[0], a[1], a[2], u64(data[1:]), len(a)-3
	case len(data) == 10 && data[0] == 12 && len(a) >= 4:
		c.Kind, c.From, c.Mint, c.To, c.Owner, c.Amount = TokenTransferChecked, a[0], a[1], a[2], a[3], u64(data[1:])
		c.Decimals, c.further = data[9], len(a)-4
	}
}

func (c *Call) readBudget(data []byte) {
	switch {
	case len(data) == 5 && data[0] == 1:
		c.Kind, c.Amount = HeapFrame, uint64(u32(data[1:]))
	case len(data) == 5 && data[0] == 2:
		c.Kind, c.Amount = UnitLimit, uint64(u32(data[1:]))
	case len(data) == 9 && data[0] == 3:
		c.Kind, c.Amount = UnitPrice, u64(data[1:])
	case len(data) == 5 && data[0] == 4:
		c.Kind, c.Amount = AccountsDataLimit, uint64(u32(data[1:]))
	}
}

// DurableNonce reports whether the blockhash is the value of a durable nonce, as nodes
// tell it: whatever stands behind the number of the call.
func (m *Message) DurableNonce() bool {
	if len(m.Instructions) == 0 {
		return false
	}
	in := m.Instructions[0]
	return m.Accounts[in.Program].Address == System && len(in.Data) >= 4 && u32(in.Data) == 4
}

// MaxFee returns the most the fee payer can be charged as fee, lamports: the signatures, and
// the price times the limit of compute units, rounded up. ok is false where it does not fit
// in 64 bits.
func (m *Message) MaxFee() (lamports uint64, ok bool) {
	price, limit, limited, others := uint64(0), uint64(0), false, uint64(0)
	signatures := uint64(m.Signers)
	for _, in := range m.Instructions {
		if verifiers[m.Accounts[in.Program].Address] && len(in.Data) > 0 {
			signatures += uint64(in.Data[0])
		}
	}
	for _, c := range m.Calls() {
		switch c.Kind {
		case UnitPrice:
			price = max(price, c.Amount)
		case UnitLimit:
			limit, limited = max(limit, c.Amount), true
		}
		if c.Program != ComputeBudget {
			others++
		}
	}
	if !limited {
		limit = others * unitsPerCall
	}
	const micro = 1_000_000 // prices are in millionths of a lamport
	hi, lo := bits.Mul64(price, min(limit, maxUnits))
	lo, carry := bits.Add64(lo, micro-1, 0)
	if hi += carry; hi >= micro {
		return 0, false
	}
	priority, _ := bits.Div64(hi, lo, micro)
	fee, carry := bits.Add64(priority, signatures*baseFee, 0)
	return fee, carry == 0
}

// decimal shows an amount of smallest units. decimals is what the payload says of the
// mint; the token program refuses a wrong one.
func decimal(amount uint64, decimals uint8) string {
	s := fmt.Sprint(amount)
	if decimals == 0 {
		return s
	}
	if n := int(decimals) + 1 - len(s); n > 0 {
		s = strings.Repeat("0", n) + s
	}
	return s[:len(s)-int(decimals)] + "." + s[len(s)-int(decimals):]
}
