package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// parseFallback reads K:KEY,KEY,... for the key that body creates; empty is none. Keys are
// given in 32 bytes or with their parity in 33, in any order.
func parseFallback(s string, body *command.CreateKey) (*command.Fallback, error) {
	if s == "" {
		return nil, nil
	}
	if body.Scheme != command.SchemeThreshold || body.Curve != command.Secp256k1 {
		return nil, usagef("--fallback is for --scheme threshold on secp256k1")
	}
	number, list, ok := strings.Cut(s, ":")
	k, err := strconv.ParseUint(number, 10, 8)
	if !ok || err != nil || k < 2 {
		return nil, usagef("--fallback %q: want K:KEY,KEY,... of which K sign, 2 or more", s)
	}
	f := &command.Fallback{Signers: uint8(k)}
	for _, text := range strings.Split(list, ",") {
		key, err := hex.DecodeString(strings.TrimSpace(text))
		if len(key) == 33 && key[0]|1 == 3 {
			key = key[1:]
		}
		if err != nil || len(key) != 32 {
			return nil, usagef("--fallback: %q is no public key of 32 or 33 bytes in hex", text)
		}
		f.PublicKeys = append(f.PublicKeys, key)
	}
	slices.SortFunc(f.PublicKeys, bytes.Compare)
	if _, err := (*intent.Fallback)(f).Keys(); err != nil {
		return nil, usageError{err}
	}
	return f, nil
}

// fallbackOf is the script path of a key's outputs, nil for none.
func fallbackOf(k *client.Key) *intent.Fallback {
	if k.Fallback == nil {
		return nil
	}
	return &intent.Fallback{Signers: uint8(k.Fallback.Signers), PublicKeys: k.Fallback.PublicKeys}
}

// sameFallback holds what the vault shows of a new key against what was asked for: every
// address depends on it, and another's keys in it would spend what is paid there.
func sameFallback(k *client.Key, want *command.Fallback) error {
	asked, shown := fallbackText((*intent.Fallback)(want)), fallbackText(fallbackOf(k))
	if asked != shown {
		return errs.New(errs.Unverified, "key %s has fallback %s, asked for was %s", k.Name, shown, asked).
			WithHint("pay nothing to it; compare what other regions show, and the audit log")
	}
	return nil
}

// fallbackText says it in one line, "none" for none.
func fallbackText(f *intent.Fallback) string {
	if f == nil {
		return "none"
	}
	var keys []string
	for _, k := range f.PublicKeys {
		keys = append(keys, hexOf(k))
	}
	return fmt.Sprintf("%d of %s", f.Signers, strings.Join(keys, ", "))
}
