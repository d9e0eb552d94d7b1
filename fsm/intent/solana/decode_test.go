package solana

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/fsm/intent/octets"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func seeded(what string, i int) ed25519.PrivateKey {
	h := sha256.Sum256(fmt.Appendf(nil, "%s/%d", what, i))
	return ed25519.NewKeyFromSeed(h[:])
}

func keyOf(p ed25519.PrivateKey) Address { return Address(p.Public().(ed25519.PublicKey)) }

// parts is a message in the making: tests spoil it before it is written.
type parts struct {
	version                           int
	signers, readSigned, readUnsigned byte
	keys                              []Address
	blockhash                         Address
	instructions                      []Instruction
	lookups                           []Lookup
	tail                              []byte
}

func sample(version int) *parts {
	p := &parts{version: version, signers: 2, readSigned: 1, readUnsigned: 1, blockhash: Address{0xbb}}
	for i := range 2 {
		p.keys = append(p.keys, keyOf(seeded("signer", i)))
	}
	p.keys = append(p.keys, Address{9}, System)
	p.instructions = []Instruction{{Program: 3, Accounts: []uint8{0, 2}, Data: []byte{2, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0}}}
	if version == V0 {
		p.lookups = []Lookup{{Address{1}, []uint8{5}, []uint8{6, 7}}, {Address{2}, []uint8{5}, nil}}
		p.instructions = append(p.instructions, Instruction{Program: 3, Accounts: []uint8{4, 7}, Data: []byte{}})
	}
	return p
}

func (p *parts) write() []byte {
	var b []byte
	if p.version != Legacy {
		b = append(b, 0x80|byte(p.version))
	}
	b = appendCompact(append(b, p.signers, p.readSigned, p.readUnsigned), len(p.keys))
	for _, k := range p.keys {
		b = append(b, k[:]...)
	}
	b = appendCompact(append(b, p.blockhash[:]...), len(p.instructions))
	for _, in := range p.instructions {
		b = appendBytes(appendBytes(append(b, in.Program), in.Accounts), in.Data)
	}
	if p.version == V0 {
		b = appendCompact(b, len(p.lookups))
		for _, l := range p.lookups {
			b = appendBytes(appendBytes(append(b, l.Table[:]...), l.Writable), l.Readonly)
		}
	}
	return append(b, p.tail...)
}

func TestSamplesAreGood(t *testing.T) {
	for _, version := range []int{Legacy, V0} {
		m, err := Decode(sample(version).write())
		if err != nil {
			t.Fatal(version, err)
		}
		rights := ""
		for _, a := range m.Accounts {
			rights += a.rights() + ";"
		}
		want := "writable, signs;read-only, signs;writable;read-only;"
		if version == V0 {
			want += "writable;writable;read-only;read-only;"
			if a := m.Accounts[5]; *a.Table != (Address{2}) || a.Place != 5 {
				t.Errorf("the second writable account comes from %s", a)
			}
		}
		if rights != want {
			t.Errorf("version %d: %s", version, rights)
		}
	}
}

type fault struct {
	name  string
	code  errs.Code
	text  string
	spoil func(p *parts)
}

var both = []fault{
	{"nobody signs", errs.PayloadRejected, "nobody signs", func(p *parts) { p.signers, p.readSigned = 0, 0 }},
	{"fee payer read-only", errs.PayloadRejected, "fee payer must be writable", func(p *parts) { p.readSigned = 2 }},
	{"more read-only than signers", errs.PayloadRejected, "fee payer must be writable", func(p *parts) { p.readSigned = 255 }},
	{"more signers than accounts", errs.PayloadRejected, "do not fit in 4 accounts", func(p *parts) { p.signers = 5 }},
	{"more read-only than accounts", errs.PayloadRejected, "do not fit in 4 accounts", func(p *parts) { p.readUnsigned = 3 }},
	{"account twice", errs.PayloadRejected, "accounts 0 and 2 are both", func(p *parts) { p.keys[2] = p.keys[0] }},
	{"fee payer as program", errs.PayloadRejected, "instruction 0 calls the fee payer", func(p *parts) { p.instructions[0].Program = 0 }},
	{"program out of range", errs.PayloadRejected, "instruction 0 calls account 4", func(p *parts) { p.instructions[0].Program = 4 }},
	{"account out of range", errs.PayloadRejected, "instruction 0 uses account 8", func(p *parts) { p.instructions[0].Accounts[1] = 8 }},
	{"trailing byte", errs.Malformed, "1 trailing bytes", func(p *parts) { p.tail = []byte{0} }},
	{"over the network's size", errs.TooLarge, "at most 1232", func(p *parts) { p.tail = make([]byte, 1232) }},
	{"over it with signatures", errs.TooLarge, "with its 2 signatures", func(p *parts) { p.instructions[0].Data = make([]byte, 1232-129-len(p.write())+12) }},
}

var onlyV0 = []fault{
	{"version 1", errs.Malformed, "version 1", func(p *parts) { p.version = 1 }},
	{"version 127", errs.Malformed, "version 127", func(p *parts) { p.version = 127 }},
	{"table twice", errs.PayloadRejected, "stands twice", func(p *parts) { p.lookups[1].Table = p.lookups[0].Table }},
	{"empty lookup", errs.PayloadRejected, "nothing is taken", func(p *parts) { p.lookups[1].Writable = nil }},
	{"place twice", errs.PayloadRejected, "place 6 of lookup table", func(p *parts) { p.lookups[0].Readonly[1] = 6 }},
	{"place with two rights", errs.PayloadRejected, "place 5 of lookup table", func(p *parts) { p.lookups[0].Readonly[1] = 5 }},
	{"looked-up program", errs.PayloadRejected, "calls account 5", func(p *parts) { p.instructions[0].Program = 5 }},
	{"257 accounts", errs.PayloadRejected, "257 accounts", func(p *parts) {
		p.lookups[0].Writable, p.lookups[0].Readonly = nil, nil
		for i := range 252 {
			p.lookups[0].Readonly = append(p.lookups[0].Readonly, uint8(i))
		}
	}},
}

func TestFaults(t *testing.T) {
	run := func(version int, faults []fault) {
		for _, f := range faults {
			p := sample(version)
			f.spoil(p)
			if _, err := Decode(p.write()); errs.CodeOf(err) != f.code || !strings.Contains(err.Error(), f.text) {
				t.Errorf("version %d, %s: %s %v, want %s and %q", version, f.name, errs.CodeOf(err), err, f.code, f.text)
			}
		}
	}
	run(Legacy, both)
	run(V0, both)
	run(V0, onlyV0)
}

// The largest message that still leaves room for its signatures is accepted.
func TestLargest(t *testing.T) {
	p := sample(Legacy)
	p.instructions[0].Data = make([]byte, 1232-129-len(p.write())+11)
	m, err := Decode(p.write())
	if err != nil || m.size() != maxTransaction {
		t.Fatal(m, err)
	}
}

func TestCut(t *testing.T) {
	for _, version := range []int{Legacy, V0} {
		good := sample(version).write()
		for i := range good {
			if _, err := Decode(good[:i]); errs.CodeOf(err) != errs.Malformed {
				t.Fatalf("version %d cut to %d of %d bytes: %v", version, i, len(good), err)
			}
		}
	}
}

func TestCompact(t *testing.T) {
	for _, c := range []struct {
		b    []byte
		want int
		ok   bool
	}{
		{[]byte{0}, 0, true}, {[]byte{0x7f}, 127, true}, {[]byte{0x80, 1}, 128, true}, {[]byte{0xff, 1}, 255, true}, {[]byte{0xff, 0x7f}, 0x3fff, true},
		{[]byte{0x80, 0x80, 1}, 0x4000, true}, {[]byte{0xff, 0xff, 3}, 0xffff, true},
		{[]byte{0x80, 0}, 0, false}, {[]byte{0xff, 0}, 0, false}, {[]byte{0x80, 0x80, 0}, 0, false}, // not the shortest
		{[]byte{0x80, 0x80, 4}, 0, false}, {[]byte{0xff, 0xff, 0x7f}, 0, false}, // over 16 bits
		{[]byte{0x80, 0x80, 0x80, 1}, 0, false}, {[]byte{0x80}, 0, false}, {nil, 0, false},
	} {
		r := &reader{octets.Reader{B: c.b}}
		v := r.compact()
		if err := r.Done(); (err == nil) != c.ok || v != c.want {
			t.Errorf("%x: %d, %v", c.b, v, err)
		}
		if c.ok && !bytes.Equal(appendCompact(nil, c.want), c.b) {
			t.Errorf("%d is written %x", c.want, appendCompact(nil, c.want))
		}
	}
}

// Every message that is well formed comes back as it was put in, and joins its signatures.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := &parts{version: rapid.SampledFrom([]int{Legacy, V0}).Draw(t, "version"), blockhash: Address{rapid.Byte().Draw(t, "blockhash")}}
		p.signers = rapid.ByteRange(1, 3).Draw(t, "signers")
		p.readSigned = rapid.ByteRange(0, p.signers-1).Draw(t, "read-only signers")
		for i := range p.signers {
			p.keys = append(p.keys, keyOf(seeded("signer", int(i))))
		}
		for i := range rapid.ByteRange(1, 4).Draw(t, "others") {
			p.keys = append(p.keys, Address{0xf0, i})
		}
		p.readUnsigned = rapid.ByteRange(0, byte(len(p.keys))-p.signers).Draw(t, "read-only others")
		total := len(p.keys)
		for i := range rapid.ByteRange(0, 2).Draw(t, "lookups") {
			places := rapid.SliceOfNDistinct(rapid.Uint8(), 1, 6, rapid.ID).Draw(t, "places")
			cut := rapid.IntRange(0, len(places)).Draw(t, "writable")
			if p.version == V0 {
				p.lookups, total = append(p.lookups, Lookup{Address{0xe0, i}, places[:cut:cut], places[cut:]}), total+len(places)
			}
		}
		for range rapid.IntRange(0, 3).Draw(t, "instructions") {
			p.instructions = append(p.instructions, Instruction{Program: rapid.ByteRange(1, byte(len(p.keys)-1)).Draw(t, "program"),
				Accounts: rapid.SliceOfN(rapid.ByteRange(0, byte(total-1)), 0, 8).Draw(t, "accounts"),
				Data:     rapid.SliceOfN(rapid.Byte(), 0, 150).Draw(t, "data")})
		}
		b := p.write()
		m, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		m.Summary()
		if again := rewrite(m); !bytes.Equal(again, b) || !bytes.Equal(m.Bytes(), b) {
			t.Fatalf("read %x, written %x", b, again)
		}
		var sigs []Signature
		for i := range int(p.signers) {
			if rapid.Bool().Draw(t, "signs") {
				sigs = append(sigs, Signature{p.keys[i], ed25519.Sign(seeded("signer", i), b)})
			}
		}
		tx, err := m.Transaction(sigs...)
		if err != nil || len(tx) != m.size() {
			t.Fatal(len(tx), err)
		}
		back, got, err := DecodeTransaction(tx)
		if err != nil || !bytes.Equal(back.Bytes(), b) || !slices.EqualFunc(got, sigs, func(a, b Signature) bool { return a.Signer == b.Signer && bytes.Equal(a.Bytes, b.Bytes) }) {
			t.Fatalf("%d signatures of %d: %v", len(got), len(sigs), err)
		}
	})
}

// rewrite writes a message from what was decoded alone.
func rewrite(m *Message) []byte {
	p := &parts{version: m.Version, signers: byte(m.Signers), blockhash: m.Blockhash, instructions: m.Instructions, lookups: m.Lookups}
	for _, a := range m.Accounts {
		switch {
		case a.Table != nil:
			continue
		case a.Signer && !a.Writable:
			p.readSigned++
		case !a.Signer && !a.Writable:
			p.readUnsigned++
		}
		p.keys = append(p.keys, a.Address)
	}
	return p.write()
}

func TestAddresses(t *testing.T) {
	for _, s := range []string{strings.Repeat("1", 32), "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "J3dxNj7nDRRqRRXuEMynDG57DkZK4jYRuv3Garmb1i99"} {
		if a, err := ParseAddress(s); err != nil || a.String() != s {
			t.Errorf("%s: %s, %v", s, a, err)
		}
	}
	for _, s := range []string{"", strings.Repeat("1", 31), strings.Repeat("1", 33), "0okenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", strings.Repeat("z", 44), strings.Repeat("z", 1<<20),
		" " + strings.Repeat("1", 32)} {
		if _, err := ParseAddress(s); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%.50q: %v", s, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, version := range []int{Legacy, V0} {
		f.Add(sample(version).write())
		for _, fl := range both {
			p := sample(version)
			fl.spoil(p)
			f.Add(p.write())
		}
	}
	for _, fl := range onlyV0 {
		p := sample(V0)
		fl.spoil(p)
		f.Add(p.write())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			switch errs.CodeOf(err) {
			case errs.Malformed, errs.PayloadRejected, errs.TooLarge:
				return
			}
			t.Fatalf("code %s: %v", errs.CodeOf(err), err)
		}
		m.Summary()
		if tx, err := m.Transaction(); err != nil || len(tx) > maxTransaction {
			t.Fatalf("accepted, but its transaction is of %d bytes: %v", len(tx), err)
		}
		if again := rewrite(m); !bytes.Equal(again, b) {
			t.Fatalf("accepted %x, but written %x", b, again)
		}
	})
}

func FuzzDecodeTransaction(f *testing.F) {
	m, err := Decode(sample(V0).write())
	if err != nil {
		f.Fatal(err)
	}
	tx, _ := m.Transaction()
	f.Add(tx)
	tx, _ = m.Transaction(Signature{m.FeePayer(), ed25519.Sign(seeded("signer", 0), m.Bytes())})
	f.Add(tx)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, sigs, err := DecodeTransaction(b)
		if err != nil {
			return
		}
		if again, err := m.Transaction(sigs...); err != nil || !bytes.Equal(again, b) {
			t.Fatalf("accepted, but written differently: %v", err)
		}
	})
}

func TestCouldBeMessage(t *testing.T) {
	broken := sample(Legacy)
	broken.keys[1] = broken.keys[0]
	trailing := sample(Legacy)
	trailing.tail = []byte{1}
	later := sample(V0)
	later.version = 1
	for name, c := range map[string]struct {
		b    []byte
		want bool
	}{
		"legacy": {sample(Legacy).write(), true}, "version 0": {sample(V0).write(), true}, "against a rule": {broken.write(), true}, "a later version": {later.write(), true},
		"trailing byte": {trailing.write(), false}, "text": {[]byte("pay nothing to nobody"), false}, "off-chain text": {append([]byte{0xff}, "solana offchain"...), false},
		"empty": {nil, false}, "json": {[]byte(`{"chain_id":"cosmoshub-4"}`), false}, "32 zeros": {make([]byte, 32), false},
		"a hash": {bytes.Repeat([]byte{0x90}, 32), false}, "64 bytes": {bytes.Repeat([]byte{0x90}, 64), false}, "65 bytes": {bytes.Repeat([]byte{0x90}, 65), true},
	} {
		if CouldBeMessage(c.b) != c.want {
			t.Errorf("%s: %v", name, !c.want)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	p := sample(V0)
	for i := range 20 {
		p.keys = append(p.keys, Address{0xd0, byte(i)})
	}
	p.instructions[1].Accounts = nil
	raw := p.write()
	for b.Loop() {
		m, err := Decode(raw)
		if err != nil {
			b.Fatal(err)
		}
		m.Calls()
	}
}
