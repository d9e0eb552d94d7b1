package rpc

import (
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/metadata"
	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// FuzzForwardedFor: whatever a peer puts into the metadata, the parser names exactly
// the bytes that were there or nobody.
func FuzzForwardedFor(f *testing.F) {
	f.Add("", false)
	f.Add(strings.Repeat("\x01", 32), false)
	f.Add(strings.Repeat("\x01", 32), true)
	f.Add(strings.Repeat("\x00", 32), false)
	f.Add("short", false)
	f.Fuzz(func(t *testing.T, value string, twice bool) {
		md := metadata.Pairs(principalKey, value)
		if twice {
			md.Append(principalKey, value)
		}
		fp, ok, err := forwardedFor(md)
		good := len(value) == 32 && !twice && strings.Trim(value, "\x00") != ""
		if ok != good || (err == nil) != good || ok && string(fp[:]) != value {
			t.Fatalf("%q twice=%v: %v, %v, %v", value, twice, fp, ok, err)
		}
		if !ok && fp != (identity.Fingerprint{}) {
			t.Fatalf("%q names %v without being accepted", value, fp)
		}
	})
}

func TestNobodyNamed(t *testing.T) {
	if fp, ok, err := forwardedFor(metadata.MD{"other": {"x"}}); ok || err != nil || !fp.IsZero() {
		t.Errorf("%v, %v, %v", fp, ok, err)
	}
}

// TestPagesCoverEverythingOnce for any rows and page size.
func TestPagesCoverEverythingOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfNDistinct(rapid.Byte(), 0, 40, rapid.ID).Draw(t, "rows")
		size := rapid.IntRange(1, 10).Draw(t, "size")
		key := func(b byte) []byte { return []byte{b} }
		var got []byte
		var token []byte
		for range len(rows) + 2 {
			page, next := page(rows, token, size, key)
			got = append(got, page...)
			if token = next; token == nil {
				break
			}
		}
		if string(got) != string(rows) || token != nil {
			t.Fatalf("pages give %v of %v", got, rows)
		}
	})
}

func TestAddressesAreForgotten(t *testing.T) {
	r := newAddressRates(1, 10)
	now := time.Now()
	for i := range 3 * addressesMax {
		r.allow(time.Duration(i).String(), now)
		if len(r.from) > addressesMax {
			t.Fatalf("%d addresses are remembered", len(r.from))
		}
	}
	later := now.Add(time.Minute) // all have their burst again
	for i := range addressesMax {
		r.allow("x"+time.Duration(i).String(), later)
	}
	if len(r.from) > addressesMax {
		t.Errorf("%d addresses are remembered", len(r.from))
	}
}

func TestHostOf(t *testing.T) {
	for in, want := range map[string]string{"10.0.0.1:99": "10.0.0.1", "[::1]:5": "::1"} {
		a, err := net.ResolveTCPAddr("tcp", in)
		if err != nil || hostOf(a) != want {
			t.Errorf("%s: %q, %v", in, hostOf(a), err)
		}
	}
	if hostOf(&net.UnixAddr{Name: "plain"}) != "plain" || hostOf(nil) != "" {
		t.Error("addresses without a port")
	}
}

func TestChangesNamesWhatMayBeUnknown(t *testing.T) {
	methods, err := vaultMethods()
	if err != nil || len(methods) < 15 {
		t.Fatalf("%d methods, %v", len(methods), err)
	}
	for m := range methods {
		name := m[strings.LastIndex(m, "/")+1:]
		if want := name == "Submit" || strings.HasPrefix(name, "Sign"); changes(m) != want {
			t.Errorf("%s changes=%v", m, changes(m))
		}
	}
}

func TestHubClosed(t *testing.T) {
	h := newHub()
	h.close(errs.New(errs.Unavailable, "gone"))
	if err := h.add(&follower{}); errs.CodeOf(err) != errs.Unavailable {
		t.Errorf("a closed hub takes followers: %v", err)
	}
}
