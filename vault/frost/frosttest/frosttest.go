// Package frosttest makes real threshold keys for tests, all regions in one process.
// It panics where a test would stop anyway.
package frosttest

import (
	"bytes"
	"crypto/rand"

	"github.com/tetrad-vault/tetrad/vault/frost"
)

// Key is a sharing with every region's share.
type Key struct {
	Results map[uint8]*frost.Result
	Public  *frost.PublicKey
	Chain   [32]byte

	pools map[uint8]*frost.Pool
}

func must[T any](v T, err error) T {
	if err != nil {
		panic("frosttest: " + err.Error())
	}
	return v
}

// New has regions make a key of which signers of them sign.
func New(suite *frost.Suite, signers int, regions ...uint8) *Key {
	k := &Key{Results: Run(frost.NewKey(suite, []byte("a session of frosttest"), "test", signers, regions), nil), pools: map[uint8]*frost.Pool{}}
	for _, r := range regions {
		k.Public, k.Chain = k.Results[r].Key, frost.ChainCode(k.Results[r].Transcript)
		k.pools[r] = must(frost.NewPool(suite, r, 1, bytes.Repeat([]byte{r}, 32)))
	}
	return k
}

// Run makes the sharing that terms name; dealers of a refresh use their share of before.
func Run(terms frost.Terms, before map[uint8]*frost.Result) map[uint8]*frost.Result {
	all, out := map[uint8]*frost.Ceremony{}, map[uint8]*frost.Result{}
	for _, r := range terms.Holders {
		var share *frost.Share
		if before != nil {
			share = before[r].Share
		}
		all[r] = must(frost.Begin(rand.Reader, terms, r, share))
	}
	each := func(send func(from, to *frost.Ceremony, f, t uint8) error) {
		for f, from := range all {
			for n, to := range all {
				must(0, send(from, to, f, n))
			}
		}
	}
	each(func(from, to *frost.Ceremony, f, _ uint8) error { h, _ := from.Hash(); return to.AddHash(f, h) })
	each(func(from, to *frost.Ceremony, f, _ uint8) error { return to.AddDealing(f, must(from.Reveal())) })
	each(func(from, to *frost.Ceremony, f, n uint8) error { return to.AddDealt(f, must(from.Dealt(n))) })
	for r, c := range all {
		out[r] = must(c.Finish())
	}
	return out
}

// Sign makes a signature with the shares of signers: of the child at path, and with a
// root, which may be empty but not nil, of that child's Taproot output.
func (k *Key) Sign(message []byte, path []uint32, root []byte, signers ...uint8) []byte {
	key, _, err := k.Public.Derive(k.Chain, path...)
	if err == nil && root != nil {
		key, err = key.Taproot(root)
	}
	must(0, err)
	var named []*frost.Commitment
	for _, r := range signers {
		named = append(named, must(k.pools[r].Prepare(rand.Reader, 1))...)
	}
	var parts []*frost.SignatureShare
	for _, r := range signers {
		parts = append(parts, must(k.pools[r].Sign(k.Results[r].Share, key, message, named)))
	}
	return must(key.Aggregate(message, named, parts))
}
