package solana

import (
	"bytes"
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/intent/octets"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Versions of a message.
const (
	Legacy = -1
	V0     = 0
)

// Message is a decoded transaction message.
type Message struct {
	Version      int       // Legacy or V0
	Signers      int       // the first accounts sign; account 0 pays the fee
	Accounts     []Account // as instructions number them: named ones, then looked-up ones, writable first
	Blockhash    Address   // recent blockhash, or the value of a durable nonce
	Instructions []Instruction
	Lookups      []Lookup

	raw                              []byte
	readonlySigned, readonlyUnsigned int
	named                            int // accounts that the message names itself
}

// Account is one account of a message.
type Account struct {
	Address  Address // zero where it comes from a table
	Signer   bool
	Writable bool
	Table    *Address // the lookup table that holds it, nil where the message names it
	Place    uint8    // in the table
}

// Instruction is one call of a program.
type Instruction struct {
	Program  uint8   // index of an account
	Accounts []uint8 // indexes of accounts
	Data     []byte
}

// Lookup takes accounts from a table on the chain.
type Lookup struct {
	Table              Address
	Writable, Readonly []uint8 // places in the table
}

func rejected(format string, args ...any) *errs.Error {
	return errs.New(errs.PayloadRejected, "solana message: "+format, args...)
}

// Decode reads a message. Errors: Malformed where it is not the one encoding of a
// message, TooLarge where it and its signatures exceed 1232 bytes, PayloadRejected where
// it breaks a rule of its form.
func Decode(b []byte) (*Message, error) {
	if len(b) > maxTransaction {
		return nil, errs.New(errs.TooLarge, "solana message of %d bytes, a transaction has at most %d", len(b), maxTransaction)
	}
	r := &reader{octets.Reader{B: b}}
	m := &Message{Version: Legacy, raw: bytes.Clone(b)}
	if len(b) > 0 && b[0]&0x80 != 0 {
		if m.Version = int(r.U8() & 0x7f); m.Version != V0 {
			return nil, errs.New(errs.Malformed, "solana message of version %d, this version reads legacy and 0", m.Version)
		}
	}
	m.readHeader(r)
	m.readInstructions(r)
	if m.Version == V0 {
		m.readLookups(r)
	}
	if err := r.Done(); err != nil {
		return nil, errs.Wrap(errs.Malformed, err, "solana message")
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Message) readHeader(r *reader) {
	m.Signers, m.readonlySigned, m.readonlyUnsigned = int(r.U8()), int(r.U8()), int(r.U8())
	m.named = r.count(len(Address{}))
	for i := range m.named {
		writable := i < m.Signers-m.readonlySigned || i >= m.Signers && i < m.named-m.readonlyUnsigned
		m.Accounts = append(m.Accounts, Account{Address: r.key(), Signer: i < m.Signers, Writable: writable})
	}
	m.Blockhash = r.key()
}

func (m *Message) readInstructions(r *reader) {
	for range r.count(3) {
		in := Instruction{Program: r.U8()}
		in.Accounts = slices.Clone(r.bytes())
		in.Data = slices.Clone(r.bytes())
		m.Instructions = append(m.Instructions, in)
	}
}

func (m *Message) readLookups(r *reader) {
	for range r.count(len(Address{}) + 2) {
		l := Lookup{Table: r.key()}
		l.Writable, l.Readonly = slices.Clone(r.bytes()), slices.Clone(r.bytes())
		m.Lookups = append(m.Lookups, l)
	}
	for i := range m.Lookups {
		l := &m.Lookups[i]
		for _, place := range l.Writable {
			m.Accounts = append(m.Accounts, Account{Writable: true, Table: &l.Table, Place: place})
		}
	}
	for i := range m.Lookups {
		l := &m.Lookups[i]
		for _, place := range l.Readonly {
			m.Accounts = append(m.Accounts, Account{Table: &l.Table, Place: place})
		}
	}
}

// Bytes returns the message as it is signed.
func (m *Message) Bytes() []byte { return bytes.Clone(m.raw) }

// FeePayer returns the account that pays the fee.
func (m *Message) FeePayer() Address { return m.Accounts[0].Address }

// SignerIndex returns which signature key gives. The error is PayloadRejected.
func (m *Message) SignerIndex(key Address) (int, error) {
	for i, a := range m.Accounts[:m.Signers] {
		if a.Address == key {
			return i, nil
		}
	}
	return 0, rejected("key %s is not among its %d signers", key, m.Signers).
		WithHint("was the transaction made for another key?")
}

// size returns the bytes of the whole transaction.
func (m *Message) size() int {
	return len(appendCompact(nil, m.Signers)) + 64*m.Signers + len(m.raw)
}
