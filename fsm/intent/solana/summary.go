package solana

import (
	"encoding/hex"
	"fmt"
	"strings"
)

// Line is one line of a summary.
type Line struct{ Name, Value string }

// String names the account; one from a table is named by its place, because the message
// does not say which it is.
func (a Account) String() string {
	if a.Table != nil {
		return fmt.Sprintf("place %d of lookup table %s (address not in the message)", a.Place, a.Table)
	}
	return a.Address.String()
}

func (a Account) rights() string {
	s := "read-only"
	if a.Writable {
		s = "writable"
	}
	if a.Signer {
		s += ", signs"
	}
	return s
}

// Summary says for people what would be signed.
func (m *Message) Summary() []Line {
	version := "legacy"
	if m.Version != Legacy {
		version = fmt.Sprint(m.Version)
	}
	calls := m.Calls()
	lines := []Line{{"solana message", version}, {"fee payer", m.FeePayer().String()}, {"fee at most", m.feeText()}}
	if m.DurableNonce() {
		lines = append(lines, Line{"durable nonce", m.Blockhash.String()}, Line{"warning", "it does not expire: it can be sent until the nonce is advanced"})
	} else {
		lines = append(lines, Line{"recent blockhash", m.Blockhash.String()})
	}
	for i, a := range m.Accounts {
		lines = append(lines, Line{fmt.Sprintf("account %d", i), fmt.Sprintf("%s (%s)", a, a.rights())})
	}
	for i, c := range calls {
		lines = append(lines, Line{fmt.Sprintf("instruction %d", i), c.String()})
	}
	return lines
}

func (m *Message) feeText() string {
	fee, ok := m.MaxFee()
	if !ok {
		return "more than there is"
	}
	return sol(fee)
}

func sol(lamports uint64) string { return decimal(lamports, 9) + " SOL" }

// String says in one line what the call does.
func (c Call) String() string {
	program := c.Program.String()
	if name, ok := programNames[c.Program]; ok {
		program = name
	}
	switch c.Kind {
	case SystemTransfer:
		return fmt.Sprintf("transfer %s from %s to %s", sol(c.Amount), c.From, c.To)
	case AdvanceNonce:
		return fmt.Sprintf("advance nonce account %s, allowed by %s", c.Accounts[0], c.Accounts[2])
	case TokenTransfer:
		return fmt.Sprintf("%s: transfer %d smallest units from %s to %s, allowed by %s", program, c.Amount, c.From, c.To, c.Owner) + c.rest()
	case TokenTransferChecked:
		return fmt.Sprintf("%s: transfer %s of mint %s from %s to %s, allowed by %s",
			program, decimal(c.Amount, c.Decimals), c.Mint, c.From, c.To, c.Owner) + c.rest()
	case HeapFrame:
		return fmt.Sprintf("%s: heap of %d bytes", program, c.Amount)
	case UnitLimit:
		return fmt.Sprintf("%s: at most %d units", program, c.Amount)
	case UnitPrice:
		return fmt.Sprintf("%s: %s lamports a unit", program, decimal(c.Amount, 6))
	case AccountsDataLimit:
		return fmt.Sprintf("%s: at most %d bytes of accounts", program, c.Amount)
	}
	return fmt.Sprintf("program %s with %d bytes of data, sha256 %s, accounts %s", c.Program, c.DataSize, hex.EncodeToString(c.DataHash[:]), names(c.Accounts))
}

func (c Call) rest() string {
	if c.further == 0 {
		return ""
	}
	return ", further accounts " + names(c.Accounts[len(c.Accounts)-c.further:])
}

func names(accounts []Account) string {
	out := make([]string, len(accounts))
	for i, a := range accounts {
		out[i] = a.String()
	}
	return "[" + strings.Join(out, ", ") + "]"
}
