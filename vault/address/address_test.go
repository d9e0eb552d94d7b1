package address_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/btcsuite/btcd/btcutil"
	"github.com/btcsuite/btcd/btcutil/bech32"
	"github.com/btcsuite/btcd/btcutil/hdkeychain"
	"github.com/btcsuite/btcd/chaincfg"
	"github.com/btcsuite/btcd/txscript"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/vault/address"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Two validators' consensus keys with the addresses that Cosmos nodes print for them.
func TestCosmos(t *testing.T) {
	for _, v := range []struct{ prefix, key, account, address string }{
		{"cosmosvalcons", "z/Dg9WU/rlIB+LaQVMMHW/a7rvalfIcyz3VdOwfvguc=", "ebed694e6ce1224fb1e8a2dd8ee63a38568b1e2b", "cosmosvalcons1a0kkjnnvuy3ylv0g5twcae368ptgk83tyalw6t"},
		{"cosmosvalcons", "/BcD6ZbLvQY29Tx6QJckzHkqvZu/4MfsO12h4a6bSh0=", "94bff2a5382ca04897142b4c5b8605b3532f5f7e", "cosmosvalcons1jjll9ffc9jsy39c59dx9hps9kdfj7hm7w63d0c"},
	} {
		key, err := base64.StdEncoding.DecodeString(v.key)
		if err != nil {
			t.Fatal(err)
		}
		got, err := address.Cosmos(v.prefix, key)
		if err != nil || got != v.address {
			t.Errorf("%s, %v; want %s", got, err, v.address)
		}
		prefix, account, err := address.ParseCosmos(got)
		if err != nil || prefix != v.prefix || hex.EncodeToString(account[:]) != v.account {
			t.Errorf("read as %s %x, %v", prefix, account, err)
		}
	}
	five, _ := bech32.ConvertBits(make([]byte, 20), 8, 5, true)
	modified, err := bech32.EncodeM("cosmos", five)
	if err != nil {
		t.Fatal(err)
	}
	good := "cosmosvalcons1a0kkjnnvuy3ylv0g5twcae368ptgk83tyalw6t"
	for name, s := range map[string]string{"checksum": good[:len(good)-1] + "q", "upper case": strings.ToUpper(good), "mixed case": "C" + good[1:], "empty": "",
		"long": strings.Repeat("a", 1<<16), "32 bytes": "bc1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3qccfmv3",
		"bech32m": modified, "witness": "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"} {
		if _, _, err := address.ParseCosmos(s); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%s: %v", name, err)
		}
	}
	key := unhex(t, "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
	for name, c := range map[string]struct {
		prefix string
		key    []byte
	}{"no prefix": {"", key}, "upper case": {"Cosmos", key}, "space": {"cos mos", key}, "long prefix": {strings.Repeat("a", 52), key},
		"short key": {"cosmos", key[:31]}, "small order": {"cosmos", append([]byte{1}, make([]byte, 31)...)}} {
		if s, err := address.Cosmos(c.prefix, c.key); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s: %s, %v", name, s, err)
		}
	}
	if s, err := address.Cosmos(strings.Repeat("a", 51), key); err != nil || len(s) != 90 {
		t.Errorf("longest prefix: %d characters, %v", len(s), err)
	}
}

func TestSolana(t *testing.T) {
	// solana-web3.js: the key of seed 32 times 8.
	got, err := address.Solana(unhex(t, "1398f62c6d1a457c51ba6a4b5f3dbd2f69fca93216218dc8997e416bd17d93ca"))
	if err != nil || got != "2KW2XRd9kwqet15Aha2oK3tYvd3nWbTFH1MBiRAv1BE1" {
		t.Errorf("%s, %v", got, err)
	}
	for name, key := range map[string][]byte{"short": make([]byte, 31), "small order": append([]byte{1}, make([]byte, 31)...), "not canonical": bytes.Repeat([]byte{255}, 32)} {
		if _, err := address.Solana(key); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// docs/spec/vectors/address.json was computed from the formats alone, without this package.
func TestGoldenVectors(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "docs", "spec", "vectors", "address.json"))
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Name, Key, Solana, SHA256First20 string
		Cosmos                           map[string]string
	}
	if err := json.Unmarshal(b, &vectors); err != nil || len(vectors) == 0 {
		t.Fatal(len(vectors), err)
	}
	for _, v := range vectors {
		key := unhex(t, v.Key)
		if got, err := address.Solana(key); err != nil || got != v.Solana {
			t.Errorf("%s: %s, %v", v.Name, got, err)
		}
		for prefix, want := range v.Cosmos {
			got, err := address.Cosmos(prefix, key)
			if err != nil || got != want {
				t.Errorf("%s: %s, %v; want %s", v.Name, got, err, want)
			}
			if p, account, err := address.ParseCosmos(want); err != nil || p != prefix || hex.EncodeToString(account[:]) != v.SHA256First20 {
				t.Errorf("%s: read as %s %x, %v", want, p, account, err)
			}
		}
	}
}

// Every extended public key of BIP-32's test vectors 1 and 2.
var bip32 = []string{
	"xpub661MyMwAqRbcFtXgS5sYJABqqG9YLmC4Q1Rdap9gSE8NqtwybGhePY2gZ29ESFjqJoCu1Rupje8YtGqsefD265TMg7usUDFdp6W1EGMcet8",
	"xpub68Gmy5EdvgibQVfPdqkBBCHxA5htiqg55crXYuXoQRKfDBFA1WEjWgP6LHhwBZeNK1VTsfTFUHCdrfp1bgwQ9xv5ski8PX9rL2dZXvgGDnw",
	"xpub6ASuArnXKPbfEwhqN6e3mwBcDTgzisQN1wXN9BJcM47sSikHjJf3UFHKkNAWbWMiGj7Wf5uMash7SyYq527Hqck2AxYysAA7xmALppuCkwQ",
	"xpub6D4BDPcP2GT577Vvch3R8wDkScZWzQzMMUm3PWbmWvVJrZwQY4VUNgqFJPMM3No2dFDFGTsxxpG5uJh7n7epu4trkrX7x7DogT5Uv6fcLW5",
	"xpub6FHa3pjLCk84BayeJxFW2SP4XRrFd1JYnxeLeU8EqN3vDfZmbqBqaGJAyiLjTAwm6ZLRQUMv1ZACTj37sR62cfN7fe5JnJ7dh8zL4fiyLHV",
	"xpub6H1LXWLaKsWFhvm6RVpEL9P4KfRZSW7abD2ttkWP3SSQvnyA8FSVqNTEcYFgJS2UaFcxupHiYkro49S8yGasTvXEYBVPamhGW6cFJodrTHy",
	"xpub661MyMwAqRbcFW31YEwpkMuc5THy2PSt5bDMsktWQcFF8syAmRUapSCGu8ED9W6oDMSgv6Zz8idoc4a6mr8BDzTJY47LJhkJ8UB7WEGuduB",
	"xpub69H7F5d8KSRgmmdJg2KhpAK8SR3DjMwAdkxj3ZuxV27CprR9LgpeyGmXUbC6wb7ERfvrnKZjXoUmmDznezpbZb7ap6r1D3tgFxHmwMkQTPH",
	"xpub6ASAVgeehLbnwdqV6UKMHVzgqAG8Gr6riv3Fxxpj8ksbH9ebxaEyBLZ85ySDhKiLDBrQSARLq1uNRts8RuJiHjaDMBU4Zn9h8LZNnBC5y4a",
	"xpub6DF8uhdarytz3FWdA8TvFSvvAh8dP3283MY7p2V4SeE2wyWmG5mg5EwVvmdMVCQcoNJxGoWaU9DCWh89LojfZ537wTfunKau47EL2dhHKon",
	"xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMzQLcgJvLJuZZvRcEL",
	"xpub6FnCn6nSzZAw5Tw7cgR9bi15UV96gLZhjDstkXXxvCLsUXBGXPdSnLFbdpq8p9HmGsApME5hQTZ3emM2rnY5agb9rXpVGyy3bdW6EEgAtqt",
}

func TestExtendedOfBIP32(t *testing.T) {
	for _, s := range bip32 {
		e, err := address.ParseExtended(s)
		if err != nil || e.String() != s {
			t.Errorf("%s: %s, %v", s, e, err)
		}
	}
	for _, v := range []struct{ seed, root string }{{"000102030405060708090a0b0c0d0e0f", bip32[0]},
		{"fffcf9f6f3f0edeae7e4e1dedbd8d5d2cfccc9c6c3c0bdbab7b4b1aeaba8a5a29f9c999693908d8a8784817e7b7875726f6c696663605d5a5754514e4b484542", bip32[6]}} {
		master, err := hdkeychain.NewMaster(unhex(t, v.seed), &chaincfg.MainNetParams)
		if err != nil {
			t.Fatal(err)
		}
		e, err := address.Root(intent.Mainnet, publicOf(t, master), [32]byte(master.ChainCode()))
		if err != nil || e.String() != v.root {
			t.Errorf("%s, %v; want %s", e, err, v.root)
		}
	}
}

func publicOf(t testing.TB, k *hdkeychain.ExtendedKey) []byte {
	p, err := k.ECPubKey()
	if err != nil {
		t.Fatal(err)
	}
	return p.SerializeCompressed()
}

// btcutil writes and reads the same, on both kinds of network, at any depth.
func TestExtendedAgreesWithBtcutil(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		secret := rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, "secret")
		secret[0], secret[31] = 0, secret[31]|1
		key := secp256k1.PrivKeyFromBytes(secret).PubKey().SerializeCompressed()
		chain := [32]byte(rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(rt, "chain"))
		network, params := intent.Mainnet, &chaincfg.MainNetParams
		if rapid.Bool().Draw(rt, "test") {
			network, params = intent.Regtest, &chaincfg.RegressionNetParams
		}
		theirs := hdkeychain.NewExtendedKey(params.HDPublicKeyID[:], key, chain[:], make([]byte, 4), 0, 0, false)
		ours, err := address.Root(network, key, chain)
		if err != nil {
			rt.Fatal(err)
		}
		for _, index := range rapid.SliceOfN(rapid.Uint32Max(1<<31-1), 0, 4).Draw(rt, "path") {
			if theirs, err = theirs.Derive(index); err != nil {
				rt.Fatal(err)
			}
			if ours, err = ours.Child(index, publicOf(t, theirs), [32]byte(theirs.ChainCode())); err != nil {
				rt.Fatal(err)
			}
		}
		back, err := address.ParseExtended(theirs.String())
		if ours.String() != theirs.String() || err != nil || back != ours {
			rt.Fatalf("%s, %s, %v", ours, theirs, err)
		}
	})
}

func TestExtendedRefused(t *testing.T) {
	good, err := address.ParseExtended(bip32[0])
	if err != nil {
		t.Fatal(err)
	}
	spoil := func(f func(*address.Extended)) string { e := good; f(&e); return e.String() }
	for name, s := range map[string]string{
		"private":           "xprv9s21ZrQH143K3QTDL4LXw2F7HEK3wJUD2nW2nRk4stbPy6cq3jPPqjiChkVvvNKmPGJxWUtg6LnF5kejMRNNU3TGtRBeJgk33yuGBxrMPHi",
		"checksum":          bip32[0][:110] + "9",
		"short":             bip32[0][:100],
		"empty":             "",
		"long":              strings.Repeat("z", 1<<20),
		"space":             bip32[0] + " ",
		"root with parent":  spoil(func(e *address.Extended) { e.Fingerprint[0] = 1 }),
		"root with index":   spoil(func(e *address.Extended) { e.Index = 1 }),
		"no point":          spoil(func(e *address.Extended) { e.Key = [33]byte(append([]byte{2}, bytes.Repeat([]byte{255}, 32)...)) }),
		"uncompressed mark": spoil(func(e *address.Extended) { e.Key[0] = 4 }),
		"private in public": spoil(func(e *address.Extended) { e.Key[0] = 0 }),
	} {
		if e, err := address.ParseExtended(s); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%s: %v, %v", name, e, err)
		}
	}
	if _, err := address.Root(intent.Mainnet, make([]byte, 33), [32]byte{}); errs.CodeOf(err) != errs.Invalid {
		t.Error(err)
	}
	if _, err := good.Child(1<<31, good.Key[:], [32]byte{}); errs.CodeOf(err) != errs.Invalid {
		t.Error(err)
	}
	good.Depth = 255
	if _, err := good.Child(1, good.Key[:], [32]byte{}); errs.CodeOf(err) != errs.Invalid {
		t.Error(err)
	}
}

// BIP-86: the account's extended key, its outputs and their addresses.
func TestAddressesOfBIP86(t *testing.T) {
	e, err := address.ParseExtended("xpub6BgBgsespWvERF3LHQu6CnqdvfEvtMcQjYrcRzx53QJjSxarj2afYWcLteoGVky7D3UKDP9QyrLprQ3VCECoY49yfdDEHGCtMMj92pReUsQ")
	if err != nil {
		t.Fatal(err)
	}
	w, err := intent.NewTaproot(intent.TaprootKey{Key: e.Key[:], ChainCode: e.ChainCode[:]})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []struct {
		path                      []uint32
		internal, output, address string
	}{
		{[]uint32{0, 0}, "cc8a4bc64d897bddc5fbc2f670f7a8ba0b386779106cf1223c6fc5d7cd6fc115", "a60869f0dbcf1dc659c9cecbaf8050135ea9e8cdc487053f1dc6880949dc684c", "bc1p5cyxnuxmeuwuvkwfem96lqzszd02n6xdcjrs20cac6yqjjwudpxqkedrcr"},
		{[]uint32{0, 1}, "83dfe85a3151d2517290da461fe2815591ef69f2b18a2ce63f01697a8b313145", "a82f29944d65b86ae6b5e5cc75e294ead6c59391a1edc5e016e3498c67fc7bbb", "bc1p4qhjn9zdvkux4e44uhx8tc55attvtyu358kutcqkudyccelu0was9fqzwh"},
		{[]uint32{1, 0}, "399f1b2f4393f29a18c937859c5dd8a77350103157eb880f02e8c08214277cef", "882d74e5d0572d5a816cef0041a96b6c1de832f6f9676d9605c44d5e9a97d3dc", "bc1p3qkhfews2uk44qtvauqyr2ttdsw7svhkl9nkm9s9c3x4ax5h60wqwruhk7"},
	} {
		o, err := w.Output(v.path...)
		if err != nil || hex.EncodeToString(o.Internal[:]) != v.internal || hex.EncodeToString(o.Key[:]) != v.output || o.Address(intent.Mainnet) != v.address {
			t.Errorf("%v: %+v %s, %v", v.path, o, o.Address(intent.Mainnet), err)
		}
		for n, params := range map[intent.Network]*chaincfg.Params{intent.Mainnet: &chaincfg.MainNetParams, intent.Testnet: &chaincfg.TestNet3Params, intent.Regtest: &chaincfg.RegressionNetParams} {
			a, err := btcutil.DecodeAddress(o.Address(n), params)
			if err != nil {
				t.Fatal(n, err)
			}
			if script, err := txscript.PayToAddrScript(a); err != nil || !bytes.Equal(script, o.PkScript()) {
				t.Errorf("%s: btcutil reads %x, %v", n, script, err)
			}
		}
	}
}

// BIP-386 and BIP-387: descriptors of the forms we export, and the scripts they stand for.
func TestDescriptorsOfBIPs(t *testing.T) {
	const a34, h = "a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd", "50929b74c1a04954b78b4b6035e97a5e078a5a0f28ec96d547bfee9ace803ac0"
	single := &intent.Fallback{Signers: 1, PublicKeys: [][]byte{unhex(t, "669b8afcec803a0d323e9a17f3ea8e68e8abe5a278020a929adbec52421adbd0")}}
	ranged := func(index uint32) *intent.Fallback {
		f := &intent.Fallback{Signers: 2}
		for _, v := range []struct {
			key  string
			path []uint32
		}{{"xpub6ERApfZwUNrhLCkDtcHTcxd75RbzS1ed54G1LkBUHQVHQKqhMkhgbmJbZRkrgZw4koxb5JaHWkY4ALHY2grBGRjaDMzQLcgJvLJuZZvRcEL", []uint32{index}},
			{"xpub68NZiKmJWnxxS6aaHmn81bvJeTESw724CRDs6HbuccFQN9Ku14VQrADWgqbhhTHBaohPX4CjNLf9fq9MYo6oDaPPLPxSb7gwQN3ih19Zm4Y", []uint32{0, 0, index}}} {
			k, err := hdkeychain.NewKeyFromString(v.key)
			if err != nil {
				t.Fatal(err)
			}
			for _, i := range v.path {
				if k, err = k.Derive(i); err != nil {
					t.Fatal(err)
				}
			}
			f.PublicKeys = append(f.PublicKeys, publicOf(t, k)[1:])
		}
		return f
	}
	for _, v := range []struct {
		internal string
		fallback *intent.Fallback
		body     string // "" where the BIP writes the keys as ranges
		script   string
	}{
		{a34, nil, "tr(" + a34 + ")", "512077aab6e066f8a7419c5ab714c12c67d25007ed55a43cadcacb4d7a970a093f11"},
		{a34, single, "tr(" + a34 + ",sortedmulti_a(1,669b8afcec803a0d323e9a17f3ea8e68e8abe5a278020a929adbec52421adbd0))", "5120eb5bd3894327d75093891cc3a62506df7d58ec137fcd104cdd285d67816074f3"},
		{h, ranged(0), "", "5120abd47468515223f58a1a18edfde709a7a2aab2b696d59ecf8c34f0ba274ef772"},
		{h, ranged(1), "", "5120fe62e7ed20705bd1d3678e072bc999acb014f07795fa02cb8f25a7aa787e8cbd"},
		{h, ranged(2), "", "51201311093750f459039adaa2a5ed23b0f7a8ae2c2ffb07c5390ea37e2fb1050b41"},
	} {
		d, err := address.Single(unhex(t, v.internal), v.fallback)
		if err != nil {
			t.Fatal(err)
		}
		if whole, err := address.Single(append([]byte{3}, unhex(t, v.internal)...), v.fallback); err != nil || whole != d {
			t.Errorf("with its parity: %s, %v", whole, err)
		}
		body, err := intent.CheckDescriptor(d)
		if err != nil || v.body != "" && body != v.body {
			t.Errorf("%s, %v; want %s", body, err, v.body)
		}
		w, err := intent.NewTaproot(intent.TaprootKey{Key: append([]byte{3}, unhex(t, v.internal)...), Fallback: v.fallback})
		if err != nil {
			t.Fatal(err)
		}
		if o, err := w.Output(); err != nil || hex.EncodeToString(o.PkScript()) != v.script {
			t.Errorf("%s stands for %x, %v; want %s", d, o.PkScript(), err, v.script)
		}
	}
}

// BIP-380's vectors of the checksum.
func TestChecksumOfBIP380(t *testing.T) {
	if body, err := intent.CheckDescriptor("raw(deadbeef)#89f8spxm"); err != nil || body != "raw(deadbeef)" {
		t.Error(body, err)
	}
	for _, s := range []string{"raw(deadbeef)", "raw(deadbeef)#", "raw(deadbeef)#89f8spxmx", "raw(deadbeef)#89f8spx", "raw(deedbeef)#89f8spxm", "raw(deedbeef)##9f8spxm", "raw(Ü)#00000000", "#", ""} {
		if _, err := intent.CheckDescriptor(s); errs.CodeOf(err) != errs.Malformed {
			t.Errorf("%s: %v", s, err)
		}
	}
}

func TestBranches(t *testing.T) {
	e, err := address.ParseExtended(bip32[0])
	if err != nil {
		t.Fatal(err)
	}
	f := &intent.Fallback{Signers: 2, PublicKeys: [][]byte{unhex(t, "a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd"), unhex(t, "669b8afcec803a0d323e9a17f3ea8e68e8abe5a278020a929adbec52421adbd0")}}
	d, err := address.Branch(e, 1, f)
	want := "tr(" + bip32[0] + "/1/*,sortedmulti_a(2,669b8afcec803a0d323e9a17f3ea8e68e8abe5a278020a929adbec52421adbd0,a34b99f22c790c4e36b2b3c2c35a36db06226e41c692fc82b8b56ac1c540c5bd))"
	if body, sumErr := intent.CheckDescriptor(d); err != nil || sumErr != nil || body != want {
		t.Errorf("%s, %v, %v", body, err, sumErr)
	}
	if _, err := address.Branch(e, 1<<31, nil); errs.CodeOf(err) != errs.Invalid {
		t.Error(err)
	}
	if _, err := address.Branch(e, 0, &intent.Fallback{}); errs.CodeOf(err) != errs.Invalid {
		t.Error(err)
	}
	for _, bad := range [][]byte{nil, make([]byte, 32), make([]byte, 65), bytes.Repeat([]byte{255}, 33)} {
		if d, err := address.Single(bad, nil); errs.CodeOf(err) != errs.Invalid {
			t.Errorf("%x: %s, %v", bad, d, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(bip32[0])
	f.Add("cosmosvalcons1a0kkjnnvuy3ylv0g5twcae368ptgk83tyalw6t")
	f.Fuzz(func(t *testing.T, s string) {
		if e, err := address.ParseExtended(s); err == nil {
			if e.String() != s {
				t.Fatalf("%q is written %q", s, e)
			}
			if _, err := hdkeychain.NewKeyFromString(s); err != nil {
				t.Fatalf("btcutil refuses %q: %v", s, err)
			}
		}
		if _, _, err := address.ParseCosmos(s); err != nil && errs.CodeOf(err) != errs.Malformed {
			t.Fatal(err)
		}
	})
}
