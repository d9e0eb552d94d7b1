package lab_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/btcsuite/btcd/btcutil/psbt"
	"github.com/btcsuite/btcd/txscript"
	"github.com/btcsuite/btcd/wire"

	"github.com/tetrad-vault/tetrad/api/client"
	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/intenttest"
	"github.com/tetrad-vault/tetrad/internal/ceremony/ceremonytest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// fails runs vaultctl and wants an exit status, a code and texts in its error.
func (w *world) fails(t *testing.T, env []string, status int, code errs.Code, text string, args ...string) {
	t.Helper()
	_, err := w.Vaultctl(t.Context(), env, append(args, "--output", "json")...)
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != status {
		t.Errorf("vaultctl %s: want exit status %d: %v", strings.Join(args, " "), status, err)
		return
	}
	if !strings.Contains(err.Error(), fmt.Sprintf(`"code":%q`, code)) || !strings.Contains(err.Error(), text) {
		t.Errorf("vaultctl %s: want %s and %q: %v", strings.Join(args, " "), code, text, err)
	}
}

// write makes a file of the lab.
func (w *world) write(t *testing.T, name string, content []byte) string {
	t.Helper()
	if err := os.WriteFile(w.Path(name), content, 0o600); err != nil {
		t.Fatal(err)
	}
	return w.Path(name)
}

func TestWrongUse(t *testing.T) {
	w := take(t)
	admin, hot := w.As(lab.Admins[0]), w.As(service)
	if _, err := w.Keygen(t.Context(), "stranger", "ed25519"); err != nil {
		t.Fatal(err)
	}
	digest := strings.Repeat("ab", 32)
	message := w.write(t, "message", []byte("hello"))
	big := w.write(t, "big", bytes.Repeat([]byte{7}, command.MaxPayload+1))
	other := ceremonytest.New(t, ceremonytest.Options{Address: func(region, service string) string {
		i := map[string]int{"north": 0, "east": 1, "south": 2, "west": 3}[region]
		r := w.Regions[i]
		return map[string]string{"raft": r.Raft, "api": r.API, "gossip": r.Gossip}[service]
	}})
	foreign, err := other.Found(t).Genesis.MarshalFile()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		env    []string
		status int
		code   errs.Code
		text   string
		args   []string
	}{
		{"nobody there", admin, errs.ExitNoLeader, errs.Unavailable, "hint", []string{"key", "list", "--address", "127.0.0.1:1", "--timeout", "1s"}},
		{"another vault's genesis", admin, errs.ExitNoLeader, errs.Unavailable, "not a region of this genesis", []string{"key", "list", "--genesis", w.write(t, "foreign.json", foreign), "--timeout", "2s"}},
		{"unknown principal", w.As("stranger"), errs.ExitDenied, errs.Unauthenticated, "hint", []string{"key", "list"}},
		{"unknown key", hot, errs.ExitFailure, errs.NotFound, "none-such", []string{"key", "show", "none-such"}},
		{"sign with an unknown key", hot, errs.ExitFailure, errs.NotFound, "none-such", []string{"sign", "--key", "none-such", "--message", message}},
		{"unknown request", hot, errs.ExitFailure, errs.NotFound, "", []string{"request", "show", digest[:32]}},
		{"one administrator", admin, errs.ExitDenied, errs.NeedsSecondAdmin, "approve", []string{"tenant", "create", "lone"}},
		{"not an administrator", hot, errs.ExitDenied, errs.Denied, "", []string{"tenant", "create", "lone", "--cosign-key", w.KeyFile(lab.Admins[1])}},
		{"a key twice", admin, errs.ExitFailure, errs.Exists, "", []string{"key", "create", fast, "--tenant", tenant, "--curve", "p256", "--signers", "2", "--cosign-key", w.KeyFile(lab.Admins[1])}},
		{"blind", hot, errs.ExitDenied, errs.BlindDenied, "", []string{"sign", "--key", wallet, "--digest", digest}},
		{"too large", hot, errs.ExitFailure, errs.TooLarge, "", []string{"sign", "--key", fast, "--message", big}},
		{"no PSBT", hot, errs.ExitFailure, errs.Malformed, "", []string{"sign", "--key", wallet, "--psbt", message}},
		{"PSBT for another curve", hot, errs.ExitFailure, errs.PayloadRejected, "", []string{"sign", "--key", fast, "--psbt", w.write(t, "good.psbt", w.psbt(t, nil))}},
		{"nothing to sign", hot, errs.ExitUsage, 0, "usage", []string{"sign", "--key", fast}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.code == 0 {
				if _, err := w.Vaultctl(t.Context(), c.env, c.args...); err == nil || !strings.Contains(err.Error(), "exit status 2") {
					t.Error(err)
				}
				return
			}
			w.fails(t, c.env, c.status, c.code, c.text, c.args...)
		})
	}
}

func (w *world) walletOf(t *testing.T, name string) *intent.Wallet {
	t.Helper()
	k := w.keys[name]
	info := intent.KeyInfo{Curve: command.Curve(k.Curve), Signers: uint8(k.Signers)}
	for _, a := range k.Attestations {
		info.PublicKeys = append(info.PublicKeys, intent.PublicKey{Region: identity.RegionID(a.Region), Key: a.PublicKey})
	}
	wal, err := intent.NewWallet(info)
	if err != nil {
		t.Fatal(err)
	}
	return wal
}

// psbt makes a payment from the wallet and lets change spoil it.
func (w *world) psbt(t *testing.T, change func(p *psbt.Packet)) []byte {
	t.Helper()
	own := w.walletOf(t, wallet)
	raw := intenttest.PSBT(0, own, intenttest.Fund(own, 5, 50_000_000, 20_000_000), intenttest.To(3, 60_000_000), intenttest.Change(own, 9_990_000))
	if change == nil {
		return raw
	}
	p, err := psbt.NewFromRawBytes(bytes.NewReader(raw), false)
	if err != nil {
		t.Fatal(err)
	}
	change(p)
	var b bytes.Buffer
	if err := p.Serialize(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestForeignPSBT gives vaultctl, and the vault itself, PSBTs it must not sign.
func TestForeignPSBT(t *testing.T) {
	w := take(t)
	for name, change := range map[string]func(p *psbt.Packet){
		"no witness UTXO": func(p *psbt.Packet) { p.Inputs[1].WitnessUtxo = nil },
		"wrong sighash":   func(p *psbt.Packet) { p.Inputs[0].SighashType = txscript.SigHashSingle },
		"anyone can pay":  func(p *psbt.Packet) { p.Inputs[0].SighashType = txscript.SigHashAll | txscript.SigHashAnyOneCanPay },
		"wrong script":    func(p *psbt.Packet) { p.Inputs[0].WitnessScript = []byte{txscript.OP_TRUE} },
		"script of others": func(p *psbt.Packet) {
			p.Inputs[0].WitnessUtxo = &wire.TxOut{Value: 50_000_000, PkScript: intenttest.To(9, 1).Script}
		},
		"amounts differ": func(p *psbt.Packet) {
			p.Inputs[0].WitnessUtxo = &wire.TxOut{Value: 1, PkScript: p.Inputs[0].WitnessUtxo.PkScript}
		},
		"pays more than it has": func(p *psbt.Packet) { p.UnsignedTx.TxOut[0].Value = 90_000_000 },
	} {
		t.Run(name, func(t *testing.T) {
			raw := w.psbt(t, change)
			w.fails(t, w.As(service), errs.ExitFailure, errs.PayloadRejected, "", "sign", "--key", wallet, "--psbt", w.write(t, "bad.psbt", raw))
			cmd, err := w.service.Command(client.NewSignPSBT(client.KeyID(w.keys[wallet].Id), raw, ""))
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.service.Sign(t.Context(), cmd); errs.CodeOf(err) != errs.PayloadRejected {
				t.Errorf("the vault itself: %v", err)
			}
		})
	}
	cmd, err := w.service.Command(client.NewSignPSBT(client.KeyID(w.keys[wallet].Id), w.psbt(t, nil), note))
	if err != nil {
		t.Fatal(err)
	}
	r, err := w.service.Sign(t.Context(), cmd)
	if err != nil {
		t.Fatalf("the PSBT they were made from: %v", err)
	}
	w.book.add(answer{cmd, r})
}

// TestWrongCommands sends the vault commands no honest client makes.
func TestWrongCommands(t *testing.T) {
	w := take(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var id command.ID
	if _, err := rand.Read(id[:]); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	with := func(body command.Body, id command.ID, expiry time.Time) *client.Command {
		t.Helper()
		cmd, err := w.service.CommandWith(body, id, expiry)
		if err != nil {
			t.Fatal(err)
		}
		return cmd
	}
	first := with(w.message(fast, "first"), id, now.Add(5*time.Minute))
	r, err := w.service.Sign(ctx, first)
	if err != nil {
		t.Fatal(err)
	}
	w.book.add(answer{first, r})
	tampered := with(w.message(fast, "tampered"), command.ID{1}, now.Add(time.Minute))
	tampered.Signatures[0].Sig[7] ^= 1
	swapped := with(w.message(fast, "swapped"), command.ID{2}, now.Add(time.Minute))
	swapped.Fields = first.Fields
	for _, c := range []struct {
		name string
		cmd  *client.Command
		code errs.Code
	}{
		{"id used again", with(w.message(fast, "second"), id, now.Add(5*time.Minute)), errs.Replayed},
		{"expired", with(w.message(fast, "late"), command.ID{3}, now.Add(-time.Minute)), errs.Expired},
		{"valid too long", with(w.message(fast, "long"), command.ID{4}, now.Add(1000*time.Hour)), errs.Invalid},
		{"bad signature", tampered, errs.Unauthenticated},
		{"other fields", swapped, errs.Unauthenticated},
		{"no such key", with(&command.RequestSignature{Key: command.KeyID{9}, Kind: command.KindMessage, Hash: command.HashSHA256, Payload: []byte("x")}, command.ID{5}, now.Add(time.Minute)), errs.NotFound},
		{"no hash", with(&command.RequestSignature{Key: client.KeyID(w.keys[fast].Id), Kind: command.KindMessage, Hash: command.HashNone, Payload: []byte("x")}, command.ID{6}, now.Add(time.Minute)), errs.PayloadRejected},
		{"short digest", with(&command.RequestSignature{Key: client.KeyID(w.keys[fast].Id), Kind: command.KindDigest, Payload: []byte("x")}, command.ID{7}, now.Add(time.Minute)), errs.PayloadRejected},
	} {
		if _, err := w.service.Sign(ctx, c.cmd); errs.CodeOf(err) != c.code {
			t.Errorf("%s: %s, want %s: %v", c.name, errs.CodeOf(err), c.code, err)
		}
	}
	w.same(t, []answer{{first, r}})
}
