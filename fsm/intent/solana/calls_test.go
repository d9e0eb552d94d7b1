package solana

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

func TestSignatures(t *testing.T) {
	m, err := Decode(sample(V0).write())
	if err != nil {
		t.Fatal(err)
	}
	one := seeded("signer", 0)
	good := ed25519.Sign(one, m.Bytes())
	for name, c := range map[string]struct {
		sig  Signature
		code errs.Code
	}{
		"stranger":         {Signature{Address{3}, good}, errs.PayloadRejected},
		"account, no sign": {Signature{Address{9}, good}, errs.PayloadRejected},
		"another signer's": {Signature{keyOf(seeded("signer", 1)), good}, errs.Unverified},
		"short":            {Signature{keyOf(one), good[:63]}, errs.Unverified},
		"zeros":            {Signature{keyOf(one), make([]byte, 64)}, errs.Unverified},
		"flipped":          {Signature{keyOf(one), append([]byte{good[0] ^ 1}, good[1:]...)}, errs.Unverified},
	} {
		if _, err := m.Transaction(c.sig); errs.CodeOf(err) != c.code {
			t.Errorf("%s: %v", name, err)
		}
	}
	tx, err := m.Transaction(Signature{keyOf(one), good})
	if err != nil {
		t.Fatal(err)
	}
	spoiled := bytes.Clone(tx)
	spoiled[5] ^= 1
	for name, b := range map[string][]byte{"flipped": spoiled, "one slot too few": append([]byte{1}, tx[65:]...), "no slots": append([]byte{0}, m.Bytes()...),
		"too large": make([]byte, 1233), "cut": tx[:100], "empty": nil} {
		if _, _, err := DecodeTransaction(b); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Under a public key of small order one signature fits many messages.
func TestSmallOrderKey(t *testing.T) {
	p := sample(Legacy)
	p.keys[0] = Address{1} // the identity
	m, err := Decode(p.write())
	if err != nil {
		t.Fatal(err)
	}
	sig := make([]byte, 64)
	sig[0] = 1 // R the identity, s zero
	if !ed25519.Verify(p.keys[0][:], m.Bytes(), sig) {
		t.Fatal("this is no longer a forgery: the test shows nothing")
	}
	if _, err := m.Transaction(Signature{p.keys[0], sig}); errs.CodeOf(err) != errs.Unverified {
		t.Fatal(err)
	}
}

func TestCallsAreExact(t *testing.T) {
	program := func(at Address, accounts int, data ...byte) Call {
		p := sample(Legacy)
		p.keys[3] = at
		p.instructions = []Instruction{{3, []uint8{0, 1, 2, 3, 0}[:accounts], data}}
		m, err := Decode(p.write())
		if err != nil {
			t.Fatal(err)
		}
		return m.Calls()[0]
	}
	amount := []byte{1, 0, 0, 0, 0, 0, 0, 0x80}
	cat := func(a []byte, b ...byte) []byte { return append(bytes.Clone(a), b...) }
	for _, c := range []struct {
		name string
		call Call
		want Kind
	}{
		{"transfer", program(System, 2, cat([]byte{2, 0, 0, 0}, amount...)...), SystemTransfer},
		{"transfer with a byte more", program(System, 2, cat(cat([]byte{2, 0, 0, 0}, amount...), 0)...), Other},
		{"transfer with three accounts", program(System, 3, cat([]byte{2, 0, 0, 0}, amount...)...), Other},
		{"transfer with one account", program(System, 1, cat([]byte{2, 0, 0, 0}, amount...)...), Other},
		{"transfer with seed", program(System, 2, cat([]byte{11, 0, 0, 0}, amount...)...), Other},
		{"high bytes of the number", program(System, 2, cat([]byte{2, 1, 0, 0}, amount...)...), Other},
		{"token transfer", program(Token, 3, cat([]byte{3}, amount...)...), TokenTransfer},
		{"token transfer by a multisig", program(Token, 5, cat([]byte{3}, amount...)...), TokenTransfer},
		{"token transfer, two accounts", program(Token, 2, cat([]byte{3}, amount...)...), Other},
		{"token-2022 transferChecked", program(Token2022, 4, cat(cat([]byte{12}, amount...), 9)...), TokenTransferChecked},
		{"transferChecked without decimals", program(Token, 4, cat([]byte{12}, amount...)...), Other},
		{"another program's transfer", program(Address{7}, 3, cat([]byte{3}, amount...)...), Other},
		{"heap", program(ComputeBudget, 0, 1, 0, 0, 1, 0), HeapFrame},
		{"limit", program(ComputeBudget, 0, 2, 1, 0, 0, 0), UnitLimit},
		{"price", program(ComputeBudget, 0, cat([]byte{3}, amount...)...), UnitPrice},
		{"data limit", program(ComputeBudget, 0, 4, 1, 0, 0, 0), AccountsDataLimit},
		{"short price", program(ComputeBudget, 0, 3, 1, 0, 0, 0), Other},
		{"empty", program(ComputeBudget, 0), Other},
	} {
		if c.call.Kind != c.want {
			t.Errorf("%s: read as %d, want %d (%s)", c.name, c.call.Kind, c.want, c.call)
		}
	}
}

func TestDurableNonce(t *testing.T) {
	for name, c := range map[string]struct {
		data  []byte
		first bool
		want  bool
	}{"advance": {[]byte{4, 0, 0, 0}, true, true}, "with bytes behind": {[]byte{4, 0, 0, 0, 9}, true, true}, "second": {[]byte{4, 0, 0, 0}, false, false},
		"another call": {[]byte{5, 0, 0, 0}, true, false}, "short": {[]byte{4, 0, 0}, true, false}} {
		p := sample(Legacy)
		advance := Instruction{3, []uint8{2, 0}, c.data}
		if c.first {
			p.instructions = append([]Instruction{advance}, p.instructions...)
		} else {
			p.instructions = append(p.instructions, advance)
		}
		m, err := Decode(p.write())
		if err != nil {
			t.Fatal(err)
		}
		warned := strings.Contains(fmt.Sprint(m.Summary()), "does not expire")
		if m.DurableNonce() != c.want || warned != c.want {
			t.Errorf("%s: %v, warned %v", name, m.DurableNonce(), warned)
		}
	}
	p := sample(Legacy)
	p.instructions = nil
	if m, err := Decode(p.write()); err != nil || m.DurableNonce() {
		t.Error("no instructions", err)
	}
}

// Accounts behind the owner of a token transfer are shown with it.
func TestFurtherAccounts(t *testing.T) {
	p := sample(Legacy)
	p.keys[3] = Token
	p.instructions = []Instruction{{3, []uint8{0, 2, 1, 2, 3}, []byte{3, 1, 0, 0, 0, 0, 0, 0, 0}}}
	m, err := Decode(p.write())
	if err != nil {
		t.Fatal(err)
	}
	if s := m.Calls()[0].String(); !strings.HasSuffix(s, fmt.Sprintf(", further accounts [%s, %s]", p.keys[2], Token)) {
		t.Error(s)
	}
}

func TestFeeOfVerifiers(t *testing.T) {
	for program := range verifiers {
		p := sample(Legacy)
		p.keys[2] = program
		p.instructions = append(p.instructions, Instruction{2, nil, []byte{3, 0}}, Instruction{2, nil, nil})
		m, err := Decode(p.write())
		if err != nil {
			t.Fatal(err)
		}
		if fee, ok := m.MaxFee(); !ok || fee != 5*baseFee {
			t.Errorf("%s: %d", program, fee)
		}
	}
}

func TestMaxFee(t *testing.T) {
	fee := func(calls ...[]byte) (uint64, bool) {
		p := sample(Legacy)
		p.keys[2] = ComputeBudget
		for _, data := range calls {
			p.instructions = append(p.instructions, Instruction{2, []uint8{}, data})
		}
		m, err := Decode(p.write())
		if err != nil {
			t.Fatal(err)
		}
		return m.MaxFee()
	}
	price := func(v uint64) []byte {
		b := []byte{3}
		for i := range 8 {
			b = append(b, byte(v>>(8*i)))
		}
		return b
	}
	limit := func(v uint32) []byte { return []byte{2, byte(v), byte(v >> 8), byte(v >> 16), byte(v >> 24)} }
	for _, c := range []struct {
		name  string
		calls [][]byte
		want  uint64
		ok    bool
	}{
		{"two signatures", nil, 10_000, true},
		{"limit alone costs nothing", [][]byte{limit(7)}, 10_000, true},
		{"price at the default limit", [][]byte{price(1_000_000)}, 210_000, true},
		{"rounded up", [][]byte{price(1), limit(1)}, 10_001, true},
		{"the higher of two", [][]byte{price(1_000_000), price(5), limit(3)}, 10_003, true},
		{"limit is capped", [][]byte{price(1_000_000), limit(math.MaxUint32)}, 1_410_000, true},
		{"more than there is", [][]byte{price(math.MaxUint64), limit(1_400_000)}, 0, false},
		{"most that fits the product", [][]byte{price(math.MaxUint64), limit(1)}, math.MaxUint64/1_000_000 + 1 + 10_000, true},
	} {
		if got, ok := fee(c.calls...); got != c.want || ok != c.ok {
			t.Errorf("%s: %d %v, want %d", c.name, got, ok, c.want)
		}
	}
}
