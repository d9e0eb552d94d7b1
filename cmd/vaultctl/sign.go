package main

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/fsm/intent/solana"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// signing is one use of vaultctl sign.
type signing struct {
	key, tenant, note, network  string
	psbt, message, digest, hash string
	asKind, at, namespace       string
	out                         string
	wait, finalize              bool

	kind    command.Kind
	hashAlg command.Hash
	net     intent.Network
	payload []byte
	path    []uint32
	armored bool // the payload came as base64 and goes out so
}

func (a *app) signCmd() *cobra.Command {
	var s signing
	c := a.leaf("sign --key KEY (--psbt F|--message F [--kind solana|--kind ssh --namespace N]|--digest HEX) [--path m/0/5] [--wait] [--out F]", "Ask for a signature", `
Ask for signatures over a PSBT, a message or, where the key allows it, a bare digest.
What the payload asks for is decoded here and shown first. Two or more regions, drawn
at random, sign: in their HSMs, or with their shares of a threshold key.

Without --wait the request's id is printed as soon as the vault accepted it (see
vaultctl request). With --wait, --out or --finalize the signatures are waited for and
verified against the key; a PSBT comes back with them merged in (binary or base64, as
it was given), or with --finalize as the raw transaction in hex.

With --kind solana the message is a Solana transaction message, binary or base64; it
comes back as the transaction, with the places of other signers left zero. --path names
the child of a threshold key that signs; the inputs of a PSBT name theirs themselves.

With --kind ssh the file is signed as ssh-keygen -Y sign does, by a threshold key on
ed25519, whose line for allowed_signers vaultctl key show and key derive print. The result
is what ssh-keygen -Y verify, and git with --namespace git, read as the signature.

If the outcome is unknown (exit status 6) ask with vaultctl request show ID: the id is
printed on standard error before anything is sent.`, noArgs,
		func(ctx context.Context, _ []string) error {
			if err := s.parse(a); err != nil {
				return err
			}
			return a.with(ctx, func(ctx context.Context, v *vault) error { return a.sign(ctx, v, &s) })
		})
	f := c.Flags()
	f.StringVar(&s.key, "key", "", "name or id of the key")
	f.StringVar(&s.tenant, "tenant", "", "tenant of the key (default: your own)")
	f.StringVar(&s.psbt, "psbt", "", "file with a PSBT, binary or base64; - is standard input")
	f.StringVar(&s.message, "message", "", "file with a message; - is standard input")
	f.StringVar(&s.digest, "digest", "", "32-byte digest in hex, for keys made with --allow-blind")
	f.StringVar(&s.hash, "hash", "", "hash of a message: none, sha256, sha256d, keccak256, sha512-256 (default: sha256, none for ed25519)")
	f.StringVar(&s.asKind, "kind", "", "what the file is, where the flag does not say: solana or ssh with --message")
	f.StringVar(&s.namespace, "namespace", "", "what an SSH signature is for: git, file, ...")
	f.StringVar(&s.at, "path", "m", "child of a threshold key that signs")
	f.StringVar(&s.note, "note", "", "a note for people, in the audit log")
	f.BoolVar(&s.wait, "wait", false, "wait for the signatures")
	f.BoolVar(&s.finalize, "finalize", false, "make the raw transaction of a PSBT")
	f.StringVar(&s.out, "out", "", "write the result to this file")
	f.DurationVar(&a.lifetime, "lifetime", 0, "how long the request stays valid (default 10m)")
	networkFlag(c, &s.network)
	return c
}

func (s *signing) parse(a *app) (err error) {
	if err := need("key", s.key); err != nil {
		return err
	}
	given := 0
	for _, v := range []string{s.psbt, s.message, s.digest} {
		if v != "" {
			given++
		}
	}
	if given != 1 {
		return usagef("give exactly one of --psbt, --message and --digest")
	}
	if s.finalize && s.psbt == "" {
		return usagef("--finalize is for --psbt")
	}
	if s.hash != "" && s.message == "" {
		return usagef("--hash is for --message")
	}
	if err := s.parseSSH(); err != nil {
		return err
	}
	if err := s.parseKind(); err != nil {
		return err
	}
	if s.path, err = command.ParsePath(s.at); err != nil {
		return usageError{err}
	}
	if s.net, err = intent.ParseNetwork(s.network); err != nil {
		return usageError{err}
	}
	s.wait = s.wait || s.finalize || s.out != ""
	switch {
	case s.psbt != "":
		b, err := a.input(s.psbt, 2*command.MaxPayload)
		if err != nil {
			return err
		}
		s.payload, s.armored = intent.Armored(b)
	case s.kind == command.KindSolana:
		b, err := a.input(s.message, 2*command.MaxPayload)
		if err != nil {
			return err
		}
		s.payload, s.armored = unarmoured(b)
	case s.asKind == sshKind:
		b, err := a.input(s.message, maxSSHFile)
		if err != nil {
			return err
		}
		s.payload = sshSigned(s.namespace, b)
	case s.message != "":
		s.payload, err = a.input(s.message, command.MaxPayload)
	default:
		if s.payload, err = hex.DecodeString(s.digest); err != nil || len(s.payload) != 32 {
			return usagef("--digest: want 64 hex digits")
		}
	}
	if err == nil && s.hash != "" {
		if s.hashAlg, err = command.ParseHash(s.hash); err != nil {
			return usageError{err}
		}
	}
	return err
}

// parseKind settles what the payload is: --kind may only repeat what the flag says, or
// call a message a Solana message.
func (s *signing) parseKind() (err error) {
	switch {
	case s.psbt != "":
		s.kind = command.KindPSBT
	case s.message != "":
		s.kind = command.KindMessage
	default:
		s.kind = command.KindDigest
	}
	if s.asKind == "" || s.asKind == sshKind {
		return nil
	}
	said, err := command.ParseKind(s.asKind)
	switch {
	case err != nil:
		return usageError{err}
	case said == command.KindSolana && s.kind == command.KindMessage && s.hash == "":
		s.kind = said
	case said == command.KindSolana:
		return usagef("--kind solana is for --message, without --hash")
	case said != s.kind:
		return usagef("--kind %s does not go with --%s", said, s.kind)
	}
	return nil
}

// unarmoured reads a Solana message that tools hand over in base64; bytes that are a
// message as they are stay so.
func unarmoured(b []byte) ([]byte, bool) {
	if _, err := solana.Decode(b); err == nil {
		return b, false
	}
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(string(b)))
	if err != nil {
		return b, false
	}
	return raw, true
}

func (a *app) sign(ctx context.Context, v *vault, s *signing) error {
	ctx, cancel := a.deadline(ctx)
	defer cancel()
	id, k, err := keyID(ctx, v, s.tenant, s.key)
	if err != nil {
		return err
	}
	if s.kind == command.KindMessage && s.hash == "" && k.Curve != tetradv1.Curve_CURVE_ED25519 {
		s.hashAlg = command.HashSHA256
	}
	if isThreshold(k) && len(k.Point) == 0 {
		return errs.New(errs.BadState, "key %s is not made yet", k.Name).WithHint("vaultctl key show says what it waits for")
	}
	if err := s.checkSSH(k); err != nil {
		return err
	}
	in, err := intent.Decode(s.kind, s.hashAlg, s.payload, keyInfo(k, s.net), s.path...)
	if err != nil {
		return err
	}
	a.showIntent(in)
	cmd, err := v.Command(&command.RequestSignature{Key: id, Kind: s.kind, Hash: s.hashAlg, Payload: s.payload, Note: s.note, Path: s.path})
	if err != nil {
		return err
	}
	request := client.RequestIDOf(cmd)
	a.progress("request %s", request)
	if !s.wait {
		r, proof, err := v.OpenProven(ctx, cmd)
		if err != nil {
			return a.pending(request, err)
		}
		return a.printRequest(v, r, proof)
	}
	r, proof, err := v.SignProven(ctx, cmd)
	if err != nil {
		return a.pending(request, err)
	}
	return a.signed(v, s, k, in, r, proof)
}

func (a *app) showIntent(in *intent.Intent) {
	if a.quiet || a.output != "table" {
		return
	}
	var kv []string
	for _, l := range in.Summary() {
		kv = append(kv, l.Name, l.Value)
	}
	var b strings.Builder
	a.pairs(&b, kv...)
	fmt.Fprint(a.stderr, b.String())
}

// pending tells how to learn the outcome of a request whose answer did not come.
func (a *app) pending(id command.RequestID, err error) error {
	if errs.CodeOf(err) == errs.OutcomeUnknown {
		return errs.Wrap(errs.OutcomeUnknown, err, "request %s", id).WithHint("vaultctl request show %s tells what became of it", id)
	}
	return advise(err)
}

type signatureView struct {
	Region     string   `json:"region"`
	PublicKey  string   `json:"public_key"`
	Signatures []string `json:"signatures"`
}

// spentView is one signature of a threshold key.
type spentView struct {
	Path      string `json:"path"`
	PublicKey string `json:"public_key"` // under which it verifies; of Taproot the output key
	Signature string `json:"signature"`
}

type signedView struct {
	Request     string          `json:"request"`
	State       string          `json:"state"`
	Regions     []signatureView `json:"signed_by"`
	Signatures  []spentView     `json:"signatures,omitempty"` // of a threshold key, one a message
	Messages    []string        `json:"messages"`             // digests, or for Ed25519 the messages
	PSBT        string          `json:"psbt,omitempty"`
	Transaction string          `json:"transaction,omitempty"`
	TxID        string          `json:"txid,omitempty"`
	SSH         string          `json:"ssh_signature,omitempty"`
	File        string          `json:"file,omitempty"`

	proofView
}

// signed verifies what came back and turns it into what was asked for.
func (a *app) signed(v *vault, s *signing, k *client.Key, in *intent.Intent, r *client.Request, proof client.Proof) error {
	if r.State != tetradv1.RequestState_REQUEST_STATE_COMPLETE {
		return errs.New(errs.BadState, "request %s is %s", hexOf(r.Id), requestStates[r.State])
	}
	view := signedView{Request: hexOf(r.Id), State: "complete", File: s.out, proofView: v.proof(proof)}
	for _, m := range in.Messages {
		view.Messages = append(view.Messages, hexOf(m))
	}
	judge := s.multisig
	if isThreshold(k) {
		judge = s.threshold
	}
	result, err := judge(v, k, in, r, &view)
	if err != nil {
		return err
	}
	if s.out != "" {
		if result == nil {
			result = signatureLines(view)
		}
		if err := a.save(s.out, result, 0o644); err != nil || s.out == "-" {
			return err
		}
	}
	return a.print(view, func(w io.Writer) { a.printSigned(w, view, result) })
}

func (a *app) printSigned(w io.Writer, v signedView, result []byte) {
	if v.File == "" && v.SSH != "" {
		fmt.Fprint(w, v.SSH)
		return
	}
	if made := v.Transaction + v.PSBT; v.File == "" && len(result) > 0 && made != "" {
		if v.Transaction != "" {
			made = v.Transaction
		}
		fmt.Fprintln(w, made)
		return
	}
	var names []string
	for _, r := range v.Regions {
		names = append(names, r.Region)
	}
	a.pairs(w, "request", v.Request, "state", v.State, "signed by", strings.Join(names, ", "), "certified by", v.proofView.String(),
		"txid", v.TxID, "file", v.File)
	if v.PSBT == "" && v.Transaction == "" && v.SSH == "" {
		a.table(w, v.table())
	}
}

func (v signedView) table() *table {
	t := &table{head: []string{"REGION", "SIGNATURE"}}
	if len(v.Signatures) > 0 {
		t.head = []string{"PATH", "PUBLIC KEY", "SIGNATURE"}
	}
	for _, s := range v.Signatures {
		t.add(s.Path, s.PublicKey, s.Signature)
	}
	for _, r := range v.Regions {
		for _, sig := range r.Signatures {
			t.add(r.Region, sig)
		}
	}
	return t
}

func signatureLines(v signedView) []byte {
	var b strings.Builder
	for _, s := range v.Signatures {
		fmt.Fprintf(&b, "%s %s %s\n", s.Path, s.PublicKey, s.Signature)
	}
	for _, r := range v.Regions {
		for _, sig := range r.Signatures {
			fmt.Fprintf(&b, "%s %s %s\n", r.Region, r.PublicKey, sig)
		}
	}
	return []byte(b.String())
}

func keyOf(k *client.Key, region identity.RegionID) []byte {
	for _, at := range k.Attestations {
		if at.Region == uint32(region) {
			return at.PublicKey
		}
	}
	return nil
}
