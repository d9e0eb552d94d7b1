package pkcs11

import (
	"fmt"
	"strings"

	"github.com/miekg/pkcs11"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/seal"
)

// token is one token of a module, found by its label: slot ids change (SoftHSM draws
// them at random).
type token struct {
	mod     *Module
	label   string
	slot    uint
	started bool
}

// Start initialises the module, if nobody has, and finds the token.
func (t *token) Start() error {
	if t.started {
		return nil
	}
	if err := t.mod.start(); err != nil {
		return err
	}
	slot, err := t.find()
	if err != nil {
		_ = t.mod.stop()
		return err
	}
	t.slot, t.started = slot, true
	return nil
}

// Stop gives the module up.
func (t *token) Stop() error {
	if !t.started {
		return nil
	}
	t.started = false
	return t.mod.stop()
}

func (t *token) find() (uint, error) {
	slots, err := t.mod.ctx.GetSlotList(true)
	if err != nil {
		return 0, classify("C_GetSlotList", err)
	}
	var found []uint
	for _, s := range slots {
		info, err := t.mod.ctx.GetTokenInfo(s)
		if err == nil && trim(info.Label) == t.label && info.Flags&pkcs11.CKF_TOKEN_INITIALIZED != 0 {
			found = append(found, s)
		}
	}
	switch len(found) {
	case 0:
		return 0, errs.New(errs.HSMFailed, "module %s has no token labelled %q in %d slots", t.mod.path, t.label, len(slots)).
			WithHint("check token_label, that the HSM is connected, and the module's own configuration")
	case 1:
		return found[0], nil
	}
	return 0, errs.New(errs.HSMFailed, "%d tokens are labelled %q", len(found), t.label).WithHint("give each token its own label")
}

// Info describes the token.
func (t *token) Info() (seal.Info, error) {
	i, err := t.mod.ctx.GetTokenInfo(t.slot)
	if err != nil {
		return seal.Info{}, classify("C_GetTokenInfo", err)
	}
	maker, model := trim(i.ManufacturerID), trim(i.Model)
	return seal.Info{
		Maker: maker, Model: model, Serial: trim(i.SerialNumber), Label: trim(i.Label),
		Firmware: fmt.Sprintf("%d.%d", i.FirmwareVersion.Major, i.FirmwareVersion.Minor),
		Profile:  profileOf(maker, model),
	}, nil
}

// trim removes the padding: blanks by the standard, NULs by NSS and TPMs.
func trim(s string) string { return strings.TrimRight(s, " \x00") }

// Session opens a session. It is a read-write one, as generating keys needs it and
// some tokens refuse to mix both kinds.
func (t *token) Session() (seal.Session, error) {
	h, err := t.mod.ctx.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return nil, classify("C_OpenSession", err)
	}
	return &session{ctx: t.mod.ctx, h: h}, nil
}
