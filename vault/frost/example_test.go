package frost_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/tetrad-vault/tetrad/vault/frost"
)

// Four regions make a key, two of them sign, and anybody verifies. Messages would travel
// encoded, the dealt shares sealed.
func Example() {
	regions := []uint8{1, 2, 3, 4}
	terms := frost.NewKey(frost.Ed25519, []byte("ceremony 1 of cluster example"), "payments", 2, regions)
	pools := map[uint8]*frost.Pool{}
	results := makeKey(terms, regions)
	key := results[1].Key
	for _, region := range regions {
		pools[region] = newPool(frost.Ed25519, region)
	}

	// Ahead of time: every region publishes commitments. An entry then names one for each signer.
	signers := []uint8{2, 4}
	var named []*frost.Commitment
	for _, region := range signers {
		published, err := pools[region].Prepare(rand.Reader, 1)
		check(err)
		c, err := frost.DecodeCommitment(region, published[0].Encode())
		check(err)
		named = append(named, c)
	}

	// Online: one question, one answer from each signer.
	msg := []byte("pay 5 to the address of the approved request")
	var parts []*frost.SignatureShare
	for _, region := range signers {
		part, err := pools[region].Sign(results[region].Share, key, msg, named)
		check(err)
		parts = append(parts, part)
	}
	sig, err := key.Aggregate(msg, named, parts)
	check(err)
	fmt.Println("verifies:", ed25519.Verify(key.Bytes(), msg, sig))

	_, err = pools[2].Sign(results[2].Share, key, []byte("another message"), named)
	fmt.Println("a nonce signs once:", err != nil)
	// Output:
	// verifies: true
	// a nonce signs once: true
}

// What went wrong is asked for with errors.Is, and who is to blame with Culprits.
func ExampleCulprits() {
	regions := []uint8{1, 2, 3, 4}
	key, shares := sharedKey(regions)
	pools := map[uint8]*frost.Pool{}
	var named []*frost.Commitment
	for _, region := range regions[:2] {
		pools[region] = newPool(frost.BIP340, region)
		published, err := pools[region].Prepare(rand.Reader, 1)
		check(err)
		named = append(named, published[0])
	}
	msg := make([]byte, 32)
	good, err := pools[1].Sign(shares[1], key, msg, named)
	check(err)
	_, err = pools[1].Sign(shares[1], key, msg, named)
	fmt.Println("used nonce:", errors.Is(err, frost.ErrReplayed), frost.Culprits(err))

	bad, err := pools[2].Sign(shares[2], key, append(msg[:31:31], 1), named) // another message
	check(err)
	_, err = key.Aggregate(msg, named, []*frost.SignatureShare{good, bad})
	fmt.Println("wrong part:", errors.Is(err, frost.ErrUnverified), frost.Culprits(err))
	_, err = key.Aggregate(msg, named, []*frost.SignatureShare{good})
	fmt.Println("one part:", errors.Is(err, frost.ErrUnavailable), frost.Culprits(err))
	// Output:
	// used nonce: true []
	// wrong part: true [2]
	// one part: true []
}

func sharedKey(regions []uint8) (*frost.PublicKey, map[uint8]*frost.Share) {
	terms := frost.NewKey(frost.BIP340, []byte("ceremony 2 of cluster example"), "payments", 2, regions)
	results, shares := makeKey(terms, regions), map[uint8]*frost.Share{}
	for _, region := range regions {
		shares[region] = results[region].Share
	}
	return results[1].Key, shares
}

// newPool opens a region's pool for this run; the hedge would be derived from the region's secrets.
func newPool(suite *frost.Suite, region uint8) *frost.Pool {
	hedge := make([]byte, 32)
	_, err := rand.Read(hedge)
	check(err)
	pool, err := frost.NewPool(suite, region, 1, hedge)
	check(err)
	return pool
}

func makeKey(terms frost.Terms, regions []uint8) map[uint8]*frost.Result {
	all := map[uint8]*frost.Ceremony{}
	for _, r := range regions {
		c, err := frost.Begin(rand.Reader, terms, r, nil)
		check(err)
		all[r] = c
	}
	each := func(send func(from, to uint8) error) {
		for _, from := range regions {
			for _, to := range regions {
				check(send(from, to))
			}
		}
	}
	each(func(from, to uint8) error { h, _ := all[from].Hash(); return all[to].AddHash(from, h) })
	each(func(from, to uint8) error {
		d, err := all[from].Reveal()
		check(err)
		return all[to].AddDealing(from, d)
	})
	each(func(from, to uint8) error {
		d, err := all[from].Dealt(to)
		check(err)
		return all[to].AddDealt(from, d)
	})
	out := map[uint8]*frost.Result{}
	for _, r := range regions {
		result, err := all[r].Finish()
		check(err)
		out[r] = result
	}
	return out
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// A Taproot output of a child key, signed by two of four.
func ExamplePublicKey_Taproot() {
	regions := []uint8{1, 2, 3, 4}
	terms := frost.NewKey(frost.BIP340, []byte("ceremony 2 of cluster example"), "cold wallet", 2, regions)
	results := makeKey(terms, regions)
	chain := frost.ChainCode(results[1].Transcript)
	child, _, err := results[1].Key.Derive(chain, 0, 7)
	check(err)
	output, err := child.Taproot(nil)
	check(err)

	var named []*frost.Commitment
	pools := map[uint8]*frost.Pool{}
	for _, region := range []uint8{1, 3} {
		pool := newPool(frost.BIP340, region)
		c, err := pool.Prepare(rand.Reader, 1)
		check(err)
		pools[region], named = pool, append(named, c[0])
	}
	sighash := make([]byte, 32)
	var parts []*frost.SignatureShare
	for region, pool := range pools {
		part, err := pool.Sign(results[region].Share, output, sighash, named)
		check(err)
		parts = append(parts, part)
	}
	sig, err := output.Aggregate(sighash, named, parts)
	check(err)
	fmt.Println(len(output.Bytes()), len(sig), output.Verify(sighash, sig))
	// Output: 32 64 <nil>
}
