package main

import (
	"slices"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// branchView is a branch from which addresses were given out.
type branchView struct {
	Branch string `json:"branch"`
	Next   string `json:"next"`
}

// parseAsset reads --asset. What was left open of scheme and curve, the class says.
func (n *creation) parseAsset() (command.Asset, error) {
	if n.asset == "" {
		return 0, nil
	}
	a, err := command.ParseAsset(n.asset)
	if err != nil {
		return 0, usageError{err}
	}
	if n.schemeOpen {
		n.scheme = command.SchemeThreshold.String()
	}
	if n.curveOpen {
		n.curve = a.Template().Curve.String()
	}
	return a, nil
}

// assetPairs say what an asset class means; nothing for none.
func assetPairs(a command.Asset) []string {
	if a == 0 {
		return nil
	}
	return []string{"asset class", a.String(), "template", templateText(a)}
}

func templateText(a command.Asset) string {
	t := a.Template()
	if t == nil {
		return "unknown to this version"
	}
	return t.String() + "; " + t.Follows + ", the key at " + t.Key
}

// sameKind holds what the vault shows of a new key against what was asked for: every address
// depends on it.
func sameKind(k *client.Key, body *command.CreateKey) error {
	if got := command.Asset(k.Asset); got != body.Asset || k.Asset > 255 {
		return errs.New(errs.Unverified, "key %s is of asset class %q, asked for was %q", k.Name, got, body.Asset).
			WithHint("pay nothing to it; compare what other regions show, and the audit log")
	}
	return sameFallback(k, body.Fallback)
}

// viewPaths fills in what is known of a key's children.
func (t *thresholdView) viewPaths(k *client.Key) {
	if a := command.Asset(k.Asset); a != 0 {
		t.Asset, t.Template = a.String(), templateText(a)
	}
	for _, b := range k.Branches {
		t.Branches = append(t.Branches, branchView{command.PathText(b.Path), command.PathText(append(slices.Clone(b.Path), b.Next))})
	}
}

// nextOf is the index that a branch's next address has, as one node shows it.
func nextOf(k *client.Key, branch []uint32) uint32 {
	for _, b := range k.Branches {
		if slices.Equal(b.Path, branch) {
			return b.Next
		}
	}
	return 0
}
