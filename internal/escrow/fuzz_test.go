package escrow

import (
	"bytes"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// FuzzBox: what decodes is canonical.
func FuzzBox(f *testing.F) {
	f.Add((&box{officers: [][]byte{{1}, {2, 3}}, hsms: []wrapped{{1, []byte{4}}, {3, []byte{5}}}, sealed: []byte{6}}).encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		if b, err := decodeBox(raw); err == nil && !bytes.Equal(b.encode(), raw) {
			t.Fatalf("%x is not canonical", raw)
		}
	})
}

// FuzzRelease: a release gives whole parts or nothing, and none of another escrow is read.
func FuzzRelease(f *testing.F) {
	b := &Bundle{Terms: Terms{Number: 1, Epoch: 1, M: 2, Officers: []string{"a", "b"}}}
	w := wire.NewWriter(256)
	b.write(w, domainRelease)
	head := len(w.Bytes())
	w.U8(1)
	w.U8(3)
	w.Blob(make([]byte, partSize))
	f.Add(w.Bytes()[head:], w.Bytes()[:head])
	other := &Bundle{Terms: Terms{Number: 2, Epoch: 1, M: 2, Officers: []string{"a", "b"}}}
	f.Fuzz(func(t *testing.T, rest, start []byte) {
		plain := append(bytes.Clone(start), rest...)
		r, err := b.readRelease(plain)
		if err != nil {
			return
		}
		for region, part := range r.parts {
			if len(part) != partSize || region > identity.RegionID(255) {
				t.Fatalf("a part of %d bytes", len(part))
			}
		}
		if _, err := other.readRelease(plain); err == nil {
			t.Fatal("it counts for another escrow too")
		}
	})
}

// FuzzKeyFile: what is read as a key is the secret of the public key beside it.
func FuzzKeyFile(f *testing.F) {
	f.Add([]byte("-----BEGIN TETRAD RECOVERED KEY-----\nAQAA\n-----END TETRAD RECOVERED KEY-----\n"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, _, err := ParseKeyFile(raw); (err == nil) != (s != nil) {
			t.Fatal("a key with an error, or neither")
		}
	})
}
