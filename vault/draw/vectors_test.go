package draw

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"math/rand"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "rewrite docs/spec/vectors/draw.json")

// The golden vectors: what this version computes, any later one must. They are also the
// examples of docs/spec/draw.md, so everything is hex and nothing needs this code.
type vectors struct {
	Session   string
	Dealings  []string // encoded, by region
	Hashes    []string // of the dealings, round 1
	Shares    []string // encoded shares, by region; secret, were they real
	Group     string
	Public    []string
	Draws     []drawVector
	Orders    []permutationVector
	HashPoint []hashVector
	Sharings  []sharingVector // later ones of the same key
}

type sharingVector struct {
	Epoch   uint32
	Holders []int
	Public  []string // by holder
	Draw    drawVector
}

type drawVector struct {
	Lineage     string
	Term, Index uint64
	Chain       string
	Input       string
	Point       string // input hashed to the group
	Partials    []string
	Value       string
}

type permutationVector struct {
	Value, Request string
	Attempt        uint8
	Eligible       []int
	Order          []int
}

type hashVector struct{ Message, Domain, Point string }

func TestGoldenVectors(t *testing.T) {
	got := computeVectors(t)
	path := filepath.Join("..", "..", "docs", "spec", "vectors", "draw.json")
	text, err := json.MarshalIndent(got, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	text = append(text, '\n')
	if *update {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != string(text) {
		t.Fatal("the vectors changed: stored formats and draws may not")
	}
	readVectors(t, want)
}

// readVectors takes the file for granted and holds the decoders against it.
func readVectors(t *testing.T, b []byte) {
	var v vectors
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	var public [][]byte
	for _, p := range v.Public {
		public = append(public, unhex(t, p))
	}
	k, err := NewPublicKey(3, [32]byte(unhex(t, v.Group)), public)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range v.Shares {
		share, err := DecodeShare(unhex(t, s))
		if err != nil || share.Matches(k) != nil {
			t.Fatalf("stored share: %v", err)
		}
	}
	for i, s := range v.Dealings {
		d, err := DecodeDealing(unhex(t, s))
		if err != nil || VerifyDealing(unhex(t, v.Session), d, 3) != nil {
			t.Fatalf("stored dealing %d: %v", i+1, err)
		}
	}
	readDraws(t, k, v.Draws)
	for _, s := range v.Sharings {
		var holders []uint8
		var public [][]byte
		for i, r := range s.Holders {
			holders, public = append(holders, uint8(r)), append(public, unhex(t, s.Public[i]))
		}
		later, err := NewSharing(s.Epoch, 3, k.Group[:], holders, public)
		if err != nil {
			t.Fatal(err)
		}
		readDraws(t, later, []drawVector{s.Draw})
	}
}

func readDraws(t *testing.T, k PublicKey, draws []drawVector) {
	for _, d := range draws {
		var ps []Partial
		for _, s := range d.Partials {
			p, err := DecodePartial(unhex(t, s))
			if err != nil {
				t.Fatal(err)
			}
			ps = append(ps, p)
		}
		value, err := k.CombineChecked(At(unhex(t, d.Input)), ps)
		if err != nil || hex.EncodeToString(value[:]) != d.Value {
			t.Fatalf("stored draw gives %x: %v", value, err)
		}
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func computeVectors(t *testing.T) vectors {
	session := []byte("tetrad vectors, session 1")
	random := rand.New(rand.NewSource(42))
	const n, k = 4, 3
	v := vectors{Session: hex.EncodeToString(session)}
	dealings, shares := make([]*Dealing, n), make([][][32]byte, n)
	for i := range n {
		var err error
		if dealings[i], shares[i], err = NewDealing(random, session, uint8(i+1), n, k); err != nil {
			t.Fatal(err)
		}
		hash := dealings[i].Hash(session)
		v.Dealings = append(v.Dealings, hex.EncodeToString(dealings[i].Encode()))
		v.Hashes = append(v.Hashes, hex.EncodeToString(hash[:]))
	}
	var mine []Share
	var public PublicKey
	for i := range n {
		to := make([][32]byte, n)
		for j := range n {
			to[j] = shares[j][i]
		}
		s, pk, err := Finish(session, uint8(i+1), n, k, dealings, to)
		if err != nil {
			t.Fatal(err)
		}
		mine, public = append(mine, s), pk
		v.Shares = append(v.Shares, hex.EncodeToString(s.Encode()))
		v.Public = append(v.Public, hex.EncodeToString(pk.Shares[i][:]))
	}
	v.Group = hex.EncodeToString(public.Group[:])
	for i := range uint64(3) {
		v.Draws = append(v.Draws, drawOf(t, mine, public, i))
	}
	for i, eligible := range [][]uint8{{1, 2, 3, 4}, {1, 2, 4}, {2, 3}, {1, 2, 3, 4, 5}} {
		value := [32]byte{1: byte(i), 31: 0xaa}
		request := [16]byte{0: 0xbb, 15: byte(i)}
		v.Orders = append(v.Orders, permutationVector{hex.EncodeToString(value[:]), hex.EncodeToString(request[:]), uint8(i + 1),
			ints(eligible), ints(Permutation(value, request, uint8(i+1), eligible))})
	}
	for _, m := range []string{"", "abc", "a message longer than one block of the hash function, so that it takes more than one hundred and twenty-eight bytes to write it down in full"} {
		p := encodePoint(hashToPoint([]byte(m), groupDomain))
		v.HashPoint = append(v.HashPoint, hashVector{m, groupDomain, hex.EncodeToString(p[:])})
	}
	for i, holders := range [][]uint8{{1, 2, 3, 4}, {1, 2, 4}} {
		mine, public = reshared(t, int64(i), uint32(i+1), mine, public, holders)
		s := sharingVector{Epoch: public.Epoch, Holders: ints(holders), Draw: drawOf(t, mine, public, uint64(i))}
		for _, r := range holders {
			s.Public = append(s.Public, hex.EncodeToString(public.Shares[r-1][:]))
		}
		v.Sharings = append(v.Sharings, s)
	}
	return v
}

func drawOf(t *testing.T, shares []Share, public PublicKey, i uint64) drawVector {
	lineage, chain := [32]byte{0: 1, 31: byte(i)}, [32]byte{0: 2, 31: byte(i)}
	d := drawVector{Lineage: hex.EncodeToString(lineage[:]), Term: 3 + i, Index: 1000 * i, Chain: hex.EncodeToString(chain[:])}
	input := Input(lineage, d.Term, d.Index, chain)
	point := encodePoint(hashToPoint(input, groupDomain))
	d.Input, d.Point = hex.EncodeToString(input), hex.EncodeToString(point[:])
	ps := evaluate(t, shares, input)
	for _, p := range ps {
		d.Partials = append(d.Partials, hex.EncodeToString(p.Encode()))
	}
	value, err := public.CombineChecked(At(input), ps)
	if err != nil {
		t.Fatal(err)
	}
	d.Value = hex.EncodeToString(value[:])
	return d
}

func ints(b []uint8) []int {
	out := make([]int, len(b))
	for i, v := range b {
		out[i] = int(v)
	}
	return out
}
