package frost

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

var update = flag.Bool("update", false, "rewrite testdata/golden.json")

// The golden vectors: what this version stores and computes, any later one must. They are
// the examples of docs/spec/frost.md, so everything is hex and nothing needs this code.
type golden struct {
	Suite      string
	Session    string
	Purpose    string
	Terms      string // hash
	Hashes     []string
	Dealings   []string
	Dealt      []string // by region 1, to regions 1 to 4; secret, were they real
	Complaint  string   // of region 2 against region 1, proven
	Shares     []string
	Key        string
	Transcript string
	Refreshed  string // key of epoch 2, dealt by regions 2 and 3
	// Not of a suite that signs nothing.
	Commitment []string      `json:",omitempty"` // serial 2 of nonce epoch 7; hedges are 32 times the region's number
	Message    string        `json:",omitempty"`
	Parts      []string      `json:",omitempty"`
	Signature  string        `json:",omitempty"`
	Chain      string        `json:",omitempty"`
	Children   []goldenChild `json:",omitempty"`
}

type goldenChild struct {
	Path       []uint32
	Key, Chain string
	Output     string `json:",omitempty"` // Taproot output key without scripts
}

func TestGoldenVectors(t *testing.T) {
	var all []golden
	for _, s := range ceremonies {
		all = append(all, computeGolden(t, s))
	}
	text, err := json.MarshalIndent(all, "", "  ")
	must(t, err)
	text = append(text, '\n')
	path := filepath.Join("testdata", "golden.json")
	if *update {
		must(t, os.WriteFile(path, text, 0o644))
	}
	want, err := os.ReadFile(path)
	must(t, err)
	if string(want) != string(text) {
		t.Fatal("the vectors changed: stored forms and derivations may not")
	}
	var stored []golden
	must(t, json.Unmarshal(want, &stored))
	for i, v := range stored {
		readGolden(t, ceremonies[i], v)
	}
}

// readGolden takes the file for granted and holds the decoders against it.
func readGolden(t *testing.T, s *Suite, v golden) {
	key, err := DecodePublicKey(unhex(t, v.Key))
	must(t, err)
	terms := NewKey(s, unhex(t, v.Session), v.Purpose, 2, fourRegions())
	var dealings []*Dealing
	for i, b := range v.Dealings {
		d, err := DecodeDealing(uint8(i+1), unhex(t, b))
		must(t, err)
		dealings = append(dealings, d)
	}
	again, transcript, err := terms.Verify(dealings)
	must(t, err)
	same(t, "transcript", transcript[:], unhex(t, v.Transcript))
	same(t, "key", again.Encode(), key.Encode())
	complaint, err := DecodeComplaint(2, unhex(t, v.Complaint))
	must(t, err)
	wants(t, "stored complaint", terms.Judge(complaint, dealings[0]), errs.Unverified, 1)
	for i, b := range v.Dealt {
		d, err := DecodeDealt(1, unhex(t, b))
		must(t, err)
		if !d.signed(dealings[0]) || !d.right(dealings[0]) || d.To() != uint8(i+1) {
			t.Fatal("a stored dealt share does not hold")
		}
	}
	for _, b := range v.Shares {
		share, err := DecodeShare(unhex(t, b))
		must(t, err)
		must(t, share.Matches(key))
	}
	if s.signless() != nil {
		return
	}
	var cs []*Commitment
	var parts []*SignatureShare
	for i, region := range []uint8{1, 3} {
		c, err := DecodeCommitment(region, unhex(t, v.Commitment[i]))
		must(t, err)
		p, err := DecodeSignatureShare(region, unhex(t, v.Parts[i]))
		must(t, err)
		cs, parts = append(cs, c), append(parts, p)
	}
	sig, err := key.Aggregate([]byte(v.Message), cs, parts)
	must(t, err)
	same(t, "signature", sig, unhex(t, v.Signature))
}

func computeGolden(t *testing.T, s *Suite) golden {
	v := golden{Suite: s.name, Session: hex.EncodeToString([]byte("tetrad vectors, session 1")), Purpose: "vectors"}
	terms := NewKey(s, unhex(t, v.Session), v.Purpose, 2, fourRegions())
	hash := terms.Hash()
	v.Terms = hex.EncodeToString(hash[:])
	random := seeded(42)
	all := beginAll(t, terms, nil, random)
	exchange(t, all)
	for _, r := range fourRegions() {
		h, _ := all[r].Hash()
		v.Hashes = append(v.Hashes, hex.EncodeToString(h[:]))
		v.Dealings = append(v.Dealings, hex.EncodeToString(all[r].own.Encode()))
		d, err := all[1].Dealt(r)
		must(t, err)
		v.Dealt = append(v.Dealt, hex.EncodeToString(d.Encode()))
	}
	complaint, err := all[2].Complain(signedWrong(all[1], 2))
	must(t, err)
	v.Complaint = hex.EncodeToString(complaint.Encode())
	results := finishAll(t, all)
	key := results[1].Key
	v.Key, v.Transcript = hex.EncodeToString(key.Encode()), hex.EncodeToString(results[1].Transcript[:])
	shares := map[uint8]*Share{}
	for _, r := range fourRegions() {
		v.Shares = append(v.Shares, hex.EncodeToString(results[r].Share.Encode()))
		shares[r] = results[r].Share
	}
	dealers := []uint8{2, 3}
	refreshed := runCeremony(t, Refresh(key, unhex(t, v.Session), v.Purpose, dealers), only(shares, dealers), random)
	v.Refreshed = hex.EncodeToString(refreshed.key.Encode())
	if s.signless() != nil {
		return v
	}
	v.Message = "a message"
	signGolden(t, &v, key, shares)
	deriveGolden(t, &v, key, results[1].Transcript)
	return v
}

func signGolden(t *testing.T, v *golden, key *PublicKey, shares map[uint8]*Share) {
	random := seeded(43)
	pools := map[uint8]*Pool{}
	var cs []*Commitment
	for _, r := range []uint8{1, 3} {
		pool := newPool(t, key.suite, r, 7)
		c, err := pool.Prepare(random, 2)
		must(t, err)
		pools[r], cs = pool, append(cs, c[1])
		v.Commitment = append(v.Commitment, hex.EncodeToString(c[1].Encode()))
	}
	var parts []*SignatureShare
	for _, r := range []uint8{1, 3} {
		p, err := pools[r].Sign(shares[r], key, []byte(v.Message), cs)
		must(t, err)
		parts = append(parts, p)
		v.Parts = append(v.Parts, hex.EncodeToString(p.Encode()))
	}
	sig, err := key.Aggregate([]byte(v.Message), cs, parts)
	must(t, err)
	v.Signature = hex.EncodeToString(sig)
}

func deriveGolden(t *testing.T, v *golden, key *PublicKey, transcript [32]byte) {
	chain := ChainCode(transcript)
	v.Chain = hex.EncodeToString(chain[:])
	for _, path := range [][]uint32{{}, {0}, {1}, {hardenedStart - 1}, {44, 0, 7}} {
		child, next, err := key.Derive(chain, path...)
		must(t, err)
		g := goldenChild{Path: path, Key: hex.EncodeToString(child.Compressed()), Chain: hex.EncodeToString(next[:])}
		if key.suite == BIP340 {
			out, err := child.Taproot(nil)
			must(t, err)
			g.Output = hex.EncodeToString(out.Bytes())
		}
		v.Children = append(v.Children, g)
	}
}
