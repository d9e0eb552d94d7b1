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
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// signing is one use of vaultctl sign.
type signing struct {
	key, tenant, note, network  string
	psbt, message, digest, hash string
	out                         string
	wait, finalize              bool

	kind    command.Kind
	hashAlg command.Hash
	net     intent.Network
	payload []byte
	armored bool // the PSBT came as base64 and goes out so
}

func (a *app) signCmd() *cobra.Command {
	var s signing
	c := a.leaf("sign --key KEY (--psbt F|--message F|--digest HEX) [--wait] [--out F]", "Ask for a signature", `
Ask for signatures over a PSBT, a message or, where the key allows it, a bare digest.
What the payload asks for is decoded here and shown first. Two or more regions, drawn
at random, sign in their HSMs.

Without --wait the request's id is printed as soon as the vault accepted it (see
vaultctl request). With --wait, --out or --finalize the signatures are waited for and
verified against the key; a PSBT comes back with them merged in (binary or base64, as
it was given), or with --finalize as the raw transaction in hex.

If the outcome is unknown (exit status 6) ask with vaultctl request show ID: the id is
printed on standard error before anything is sent.`, cobra.NoArgs,
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
	if s.net, err = intent.ParseNetwork(s.network); err != nil {
		return usageError{err}
	}
	s.wait = s.wait || s.finalize || s.out != ""
	switch {
	case s.psbt != "":
		s.kind = command.KindPSBT
		b, err := a.input(s.psbt, 2*command.MaxPayload)
		if err != nil {
			return err
		}
		s.payload, s.armored = intent.Armored(b)
	case s.message != "":
		s.kind = command.KindMessage
		s.payload, err = a.input(s.message, command.MaxPayload)
	default:
		s.kind = command.KindDigest
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
	in, err := intent.Decode(s.kind, s.hashAlg, s.payload, keyInfo(k, s.net))
	if err != nil {
		return err
	}
	a.showIntent(in)
	cmd, err := v.Command(&command.RequestSignature{Key: id, Kind: s.kind, Hash: s.hashAlg, Payload: s.payload, Note: s.note})
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

type signedView struct {
	Request     string          `json:"request"`
	State       string          `json:"state"`
	Regions     []signatureView `json:"signed_by"`
	Messages    []string        `json:"messages"` // digests, or for Ed25519 the messages
	PSBT        string          `json:"psbt,omitempty"`
	Transaction string          `json:"transaction,omitempty"`
	TxID        string          `json:"txid,omitempty"`
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
	sets, err := verified(k, in, r)
	if err != nil {
		return err
	}
	for _, set := range sets {
		sv := signatureView{Region: regionName(v.genesis, set.Region), PublicKey: hexOf(keyOf(k, set.Region))}
		for _, sig := range set.Signatures {
			sv.Signatures = append(sv.Signatures, hexOf(sig))
		}
		view.Regions = append(view.Regions, sv)
	}
	result, err := s.result(k, in, sets, &view)
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
	if v.File == "" && len(result) > 0 && (v.Transaction != "" || v.PSBT != "") {
		if v.Transaction != "" {
			fmt.Fprintln(w, v.Transaction)
		} else {
			fmt.Fprintln(w, v.PSBT)
		}
		return
	}
	var names []string
	for _, r := range v.Regions {
		names = append(names, r.Region)
	}
	a.pairs(w, "request", v.Request, "state", v.State, "signed by", strings.Join(names, ", "), "certified by", v.proofView.String(),
		"txid", v.TxID, "file", v.File)
	if v.PSBT != "" {
		return
	}
	t := &table{head: []string{"REGION", "SIGNATURE"}}
	for _, r := range v.Regions {
		for _, sig := range r.Signatures {
			t.add(r.Region, sig)
		}
	}
	a.table(w, t)
}

func signatureLines(v signedView) []byte {
	var b strings.Builder
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

// verified checks every signature against the key's attested public keys: the vault's
// word is not enough.
func verified(k *client.Key, in *intent.Intent, r *client.Request) ([]intent.SignatureSet, error) {
	if len(r.Results) < int(k.Signers) {
		return nil, errs.New(errs.Unverified, "request %s: %d regions signed, want %d", hexOf(r.Id), len(r.Results), k.Signers)
	}
	var out []intent.SignatureSet
	seen := map[identity.RegionID]bool{}
	for _, res := range r.Results {
		region := identity.RegionID(res.Region)
		pub := keyOf(k, region)
		if pub == nil || seen[region] || len(res.Signatures) != len(in.Messages) {
			return nil, errs.New(errs.Unverified, "request %s: the result of region %d does not fit the key or the payload", hexOf(r.Id), region)
		}
		seen[region] = true
		for i, sig := range res.Signatures {
			if !intent.Verify(command.Curve(k.Curve), pub, in.Messages[i], sig) {
				return nil, errs.New(errs.Unverified, "request %s: signature %d of region %d does not verify", hexOf(r.Id), i, region)
			}
		}
		out = append(out, intent.SignatureSet{Region: region, Signatures: res.Signatures})
	}
	return out, nil
}

// result makes the PSBT or transaction; nil for other payloads.
func (s *signing) result(k *client.Key, in *intent.Intent, sets []intent.SignatureSet, view *signedView) ([]byte, error) {
	if s.kind != command.KindPSBT {
		return nil, nil
	}
	w, err := wallet(k)
	if err != nil {
		return nil, err
	}
	merged, err := w.Combine(s.payload, sets)
	if err != nil {
		return nil, err
	}
	view.PSBT, view.TxID = base64.StdEncoding.EncodeToString(merged), in.Transaction.TxID
	if s.finalize {
		raw, err := w.Finalize(merged)
		if err != nil {
			return nil, err
		}
		view.Transaction = hexOf(raw)
		return []byte(view.Transaction + "\n"), nil
	}
	if s.armored {
		return []byte(view.PSBT + "\n"), nil
	}
	return merged, nil
}
