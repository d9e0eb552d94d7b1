package frost

import (
	"crypto/rand"
	"slices"
	"testing"

	"github.com/btcsuite/btcd/btcec/v2/schnorr"
	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/btcsuite/btcd/txscript"
	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// The non-hardened steps of BIP-32's test vectors 1 and 2: parent, index, child.
var bip32Steps = []struct {
	parent string
	index  uint32
	child  string
}{
	{"xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9xv5ski8PX9rL2dZXvgGDnw", 1,
		"xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ"},
	{"xpub6D4BDPcP2GT577Vvch3R8wDkScZWzQzMMUm3PWbmWvVJrZwQY4VUNgqFJPMM3No2dFDFGTsxxpG5uJh7n7epu4trkrX7x7DogT5Uv6fcLW5", 2,
		"xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV"},
	{"xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV", 1000000000,
		"xpub6H1LXWLaKsWFhvm6RVpEL9P4KfRZSW7abD2ttkWP3SSQvnyA8FSVqNTEcYFgJS2UaFcxupHiYkro49S8yGasTvXEYBVPamhGW6cFJodrTHy"},
	{"xpub661MyMwAqRbcFW31YEwpkMuc5THy2PSt5bDMsktWQcFF8syAmRUapSCGu8ED9W6oDMSgv6Zz8idoc4a6mr8BDzTJY47LJhkJ8UB7WEGuduB", 0,
		"xpub69H7F5d8KSRgmmdJg2KhpAK8SR3DjMwAdkxj3ZuxV27CprR9LgpeyGmXUbC6wb7ERfvrnKZjXoUmmDznezpbZb7ap6r1D3tgFxHmwMkQTPH"},
	{"xpub6ASAVgeehLbnwdqV6UKMHVzgqAG8Gr6riv3Fxxpj8ksbH9ebxaEyBLZ85ySDhKiLDBrQSARLq1uNRts8RuJiHjaDMBU4Zn9h8LZNnBC5y4a", 1,
		"xpub6DF8uhdarytz3FWdA8TvFSvvAh8dP3283MY7p2V4SeE2wyWmG5mg5EwVvmdMVCQcoNJxGoWaU9DCWh89LojfZ537wTfunKau47EL2dhHKon"},
	{"xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMzQLcgJvLJuZZvRcEL", 2,
		"xpub6FnCn6nSzZAw5Tw7cgR9bi15UV96gLZhjDstkXXxvCLsUXBGXPdSnLFbdpq8p9HmGsApME5hQTZ3emM2rnY5agb9rXpVGyy3bdW6EEgAtqt"},
}

func readXpub(t *testing.T, s string) (*PublicKey, [32]byte) {
	t.Helper()
	x, err := hdkeychain.NewKeyFromString(s)
	must(t, err)
	public, err := x.ECPubKey()
	must(t, err)
	p, ok := BIP340.group.decodePoint(public.SerializeCompressed())
	if !ok {
		t.Fatal("xpub without a point")
	}
	return publicKeyOf(BIP340, p), [32]byte(x.ChainCode())
}

func TestBIP32Vectors(t *testing.T) {
	for _, step := range bip32Steps {
		parent, chain := readXpub(t, step.parent)
		want, wantChain := readXpub(t, step.child)
		got, gotChain, err := parent.Child(chain, step.index)
		must(t, err)
		same(t, "child key", got.Compressed(), want.Compressed())
		same(t, "child chain code", gotChain[:], wantChain[:])
	}
}

// btcutil's extended keys derive what we do, and the derived key signs.
func TestBIP32AgreesWithBtcutil(t *testing.T) {
	w := newWorld(t, BIP340, 2, rand.Reader)
	rapid.Check(t, func(rt *rapid.T) {
		chain := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, "chain"))
		path := rapid.SliceOfN(rapid.Uint32Max(hardenedStart-1), 0, 5).Draw(rt, "path")
		x := hdkeychain.NewExtendedKey(chaincfg.MainNetParams.HDPublicKeyID[:], w.key.Compressed(), chain[:], make([]byte, 4), 0, 0, false)
		for _, index := range path {
			var err error
			x, err = x.Derive(index)
			must(t, err)
		}
		public, err := x.ECPubKey()
		must(t, err)
		key, next, err := w.key.Derive(chain, path...)
		must(t, err)
		same(t, "key", key.Compressed(), public.SerializeCompressed())
		same(t, "chain code", next[:], x.ChainCode())
		if len(path) == 1 || !raceDetector {
			w.sign(t, key, message(1), []uint8{1, 4})
		}
	})
}

// BIP-341 wallet-test-vectors.json, scriptPubKey: internal key, Merkle root, output key.
var bip341Outputs = [][3]string{
	{"d6889cb081036e0faefa3a35157ad71086b123b2b144b649798b494c300a961d", "", "53a1f6e454df1aa2776a2814a721372d6258050de330b3c6d10ee8f4e0dda343"},
	{"187791b6f712a8ea41c8ecdd0ee77fab3e85263b37e1ec18a3651926b3a6cf27", "5b75adecf53548f3ec6ad7d78383bf84cc57b55a3127c72b9a2481752dd88b21", "147c9c57132f6e7ecddba9800bb0c4449251c92a1e60371ee77557b6620f3ea3"},
	{"93478e9488f956df2396be2ce6c5cced75f900dfa18e7dabd2428aae78451820", "c525714a7f49c28aedbbba78c005931a81c234b2f6c99a73e4d06082adc8bf2b", "e4d810fd50586274face62b8a807eb9719cef49c04177cc6b76a9a4251d5450e"},
	{"ee4fe085983462a184015d1f782d6a5f8b9c2b60130aff050ce221ecf3786592", "6c2dc106ab816b73f9d07e3cd1ef2c8c1256f519748e0813e4edd2405d277bef", "712447206d7a5238acc7ff53fbe94a3b64539ad291c7cdbc490b7577e4b17df5"},
	{"f9f400803e683727b14f463836e1e78e1c64417638aa066919291a225f0e8dd8", "ab179431c28d3b68fb798957faf5497d69c883c6fb1e1cd9f81483d87bac90cc", "77e30a5522dd9f894c3f8b8bd4c4b2cf82ca7da8a3ea6a239655c39c050ab220"},
	{"e0dfe2300b0dd746a3f8674dfd4525623639042569d829c7f0eed9602d263e6f", "ccbd66c6f7e8fdab47b3a486f59d28262be857f30d4773f2d5ea47f7761ce0e2", "91b64d5324723a985170e4dc5a0f84c041804f2cd12660fa5dec09fc21783605"},
	{"55adf4e8967fbd2e29f20ac896e60c3b0f1d5b0efa9d34941b5958c7b0a0312d", "2f6b2c5397b6d68ca18e09a3f05161668ffe93a988582d55c6f07bd5b3329def", "75169f4001aa68f15bbed28b218df1d0a62cbbcf1188c6665110c293c907b831"},
}

// BIP-341 wallet-test-vectors.json, keyPathSpending: output, sighash, signature.
var bip341Spends = []struct {
	output       int
	sighash, sig string
}{
	{0, "2514a6272f85cfa0f45eb907fcb0d121b808ed37c6ea160a5a9046ed5526d555", "ed7c1647cb97379e76892be0cacff57ec4a7102aa24296ca39af7541246d8ff14d38958d4cc1e2e478e4d4a764bbfd835b16d4e314b72937b29833060b87276c"},
	{1, "325a644af47e8a5a2591cda0ab0723978537318f10e6a63d4eed783b96a71a4d", "052aedffc554b41f52b521071793a6b88d6dbca9dba94cf34c83696de0c1ec35ca9c5ed4ab28059bd606a4f3a657eec0bb96661d42921b5f50a95ad33675b54f"},
	{2, "bf013ea93474aa67815b1b6cc441d23b64fa310911d991e713cd34c7f5d46669", "ff45f742a876139946a149ab4d9185574b98dc919d2eb6754f8abaa59d18b025637a3aa043b91817739554f4ed2026cf8022dbd83e351ce1fabc272841d2510a"},
	{5, "4f900a0bae3f1446fd48490c2958b5a023228f01661cda3496a11da502a7f7ef", "b4010dd48a617db09926f729e79c33ae0b4e94b79f04a1ae93ede6315eb3669de185a17d2b0ac9ee09fd4c64b678a0b61a0a86fa888a273c8511be83bfd6810f"},
	{6, "15f25c298eb5cdc7eb1d638dd2d45c97c4c59dcaec6679cfc16ad84f30876b85", "a3785919a2ce3c4ce26f298c3d51619bc474ae24014bcdd31328cd8cfbab2eff3395fa0a16fe5f486d12f22a9cedded5ae74feb4bbe5351346508c5405bcfee0"},
	{3, "cd292de50313804dabe4685e83f923d2969577191a3e1d2882220dca88cbeb10", "ea0c6ba90763c2d3a296ad82ba45881abb4f426b3f87af162dd24d5109edc1cdd11915095ba47c3a9963dc1e6c432939872bc49212fe34c632cd3ab9fed429c4"},
	{4, "cccb739eca6c13a8a89e6e5cd317ffe55669bbda23f2fd37b0f18755e008edd2", "bbc9584a11074e83bc8c6759ec55401f0ae7b03ef290c3139814f545b58a9f8127258000874f44bc46db7646322107d4d86aec8e73b8719a61fff761d75b5dd9"},
}

func TestBIP341Vectors(t *testing.T) {
	var outputs []*PublicKey
	for _, v := range bip341Outputs {
		p, ok := BIP340.group.decodePoint(append([]byte{2}, unhex(t, v[0])...))
		if !ok {
			t.Fatalf("%s is no key", v[0])
		}
		for _, parity := range []point{p, BIP340.group.negatePoint(p)} { // x-only: both give one output
			out, err := publicKeyOf(BIP340, parity).Taproot(unhex(t, v[1]))
			must(t, err)
			same(t, "output key", out.Bytes(), unhex(t, v[2]))
			if parity == p {
				outputs = append(outputs, out)
			}
		}
	}
	for _, v := range bip341Spends {
		must(t, outputs[v.output].Verify(unhex(t, v.sighash), unhex(t, v.sig)))
	}
}

// Whatever the parities of root, child and output key, pairs sign for the output that
// btcd's txscript computes.
func TestTaprootSigns(t *testing.T) {
	seen := map[[3]bool]int{}
	for i := range few(40) {
		w := newWorld(t, BIP340, 2, rand.Reader)
		internal, _, err := w.key.Derive([32]byte{byte(i)}, 86, uint32(i))
		must(t, err)
		var root []byte
		if i%2 == 1 {
			root = message(i)
		}
		out, err := internal.Taproot(root)
		must(t, err)
		public, err := schnorr.ParsePubKey(internal.Bytes())
		must(t, err)
		want := txscript.ComputeTaprootOutputKey(public, root)
		same(t, "output key", out.Bytes(), schnorr.SerializePubKey(want))
		g := BIP340.group
		seen[[3]bool{g.oddY(w.key.point), g.oddY(internal.point), g.oddY(out.point)}]++
		w.sign(t, out, message(i), signerSets(2)[i%11])
		namesCulpritUnder(t, w, out)
	}
	if len(seen) < 6 && !raceDetector {
		t.Fatalf("parities seen: %v", seen)
	}
}

// namesCulpritUnder checks that blame works under derived keys as well.
func namesCulpritUnder(t *testing.T, w *world, key *PublicKey) {
	t.Helper()
	cs := w.commit(t, []uint8{2, 3})
	parts := w.parts(t, key, message(1), cs)
	for _, p := range parts {
		must(t, key.CheckShare(message(1), cs, p))
	}
	parts[1].z[20] ^= 1
	_, err := key.Aggregate(message(1), cs, parts)
	wants(t, "wrong part under a derived key", err, errs.Unverified, 3)
}

func TestEd25519ChildrenSign(t *testing.T) {
	w := newWorld(t, Ed25519, 2, rand.Reader)
	seen := map[string]bool{string(w.key.Bytes()): true}
	for i := range uint32(20) {
		for _, chain := range [][32]byte{{1}, {2}} {
			key, next, err := w.key.Derive(chain, 7, i)
			must(t, err)
			if seen[string(key.Bytes())] || next == chain {
				t.Fatal("two paths give one key")
			}
			seen[string(key.Bytes())] = true
			w.sign(t, key, message(1), signerSets(2)[i%11])
			namesCulpritUnder(t, w, key)
		}
	}
}

// A part made for one key is worth nothing under another of the same tree.
func TestTweakBindsIntoTheChallenge(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		a, _, err := w.key.Child([32]byte{1}, 1)
		must(t, err)
		b, _, err := w.key.Child([32]byte{1}, 2)
		must(t, err)
		cs := w.commit(t, []uint8{1, 2})
		parts := w.parts(t, a, message(1), cs)
		for _, other := range []*PublicKey{w.key, b} {
			_, err = other.Aggregate(message(1), cs, parts)
			wants(t, "another key of the tree", err, errs.Unverified, 1, 2)
		}
	}
}

// Derivation survives a refresh: same chain code, same children.
func TestChildrenSurviveRefresh(t *testing.T) {
	for _, s := range suites {
		w := newWorld(t, s, 2, rand.Reader)
		fresh := runCeremony(t, Refresh(w.key, session("refresh"), "test", []uint8{2, 4}), only(w.shares, []uint8{2, 4}), rand.Reader)
		chain := ChainCode([32]byte{5})
		before, _, err := w.key.Derive(chain, 1, 2, 3)
		must(t, err)
		after, _, err := fresh.key.Derive(chain, 1, 2, 3)
		must(t, err)
		same(t, "child", after.Compressed(), before.Compressed())
		fresh.sign(t, after, message(1), []uint8{1, 3})
	}
}

func TestDerivationRefused(t *testing.T) {
	w, ed := newWorld(t, BIP340, 2, rand.Reader), newWorld(t, Ed25519, 2, rand.Reader)
	out, err := w.key.Taproot(nil)
	must(t, err)
	for name, f := range map[string]func() error{
		"hardened":            func() error { _, _, err := w.key.Child([32]byte{}, hardenedStart); return err },
		"hardened, Ed25519":   func() error { _, _, err := ed.key.Child([32]byte{}, 1<<32-1); return err },
		"hardened in a path":  func() error { _, _, err := ed.key.Derive([32]byte{}, 1, hardenedStart, 1); return err },
		"child of an output":  func() error { _, _, err := out.Child([32]byte{}, 1); return err },
		"output of an output": func() error { _, err := out.Taproot(nil); return err },
		"taproot of Ed25519":  func() error { _, err := ed.key.Taproot(nil); return err },
		"short Merkle root":   func() error { _, err := w.key.Taproot(make([]byte, 31)); return err },
		"long Merkle root":    func() error { _, err := w.key.Taproot(make([]byte, 33)); return err },
	} {
		wants(t, name, f(), errs.Invalid)
	}
	_, _, err = w.key.Derive([32]byte{}, slices.Repeat([]uint32{1}, maxPath+1)...)
	wants(t, "long path", err, errs.TooLarge)
	cancel := &PublicKey{suite: BIP340, root: w.key.root, point: w.key.suite.group.base(BIP340.group.negate(BIP340.group.number(5)))}
	if _, err := cancel.add(false, BIP340.group.number(5)); errs.CodeOf(err) != errs.Invalid {
		t.Errorf("derivation to the identity: %v", err)
	}
}
