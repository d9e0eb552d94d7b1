package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestSSHSign: ssh-keygen takes what a threshold key signs, and only for that file, that
// namespace and that child.
func TestSSHSign(t *testing.T) {
	s := newStage(t)
	ed := s.key(1, "ed", command.Ed25519)
	s.key(2, "btc", command.Secp256k1)
	svc, content := s.path("svc.key"), bytes.Repeat([]byte("a release\n"), 100_000)
	file := s.write("release", content)
	var root signingKeyView
	s.json(&root, "key", "show", "ed", "--tenant", "acme")
	var child childView
	s.json(&child, "key", "derive", "ed", "m/4", "--tenant", "acme")
	var v signedView
	s.json(&v, "sign", "--key", "ed", "--kind", "ssh", "--namespace", "git", "--message", file, "--path", "m/4", "--wait", "--key-file", svc)
	key, _, err := ed.Public.Derive(ed.Chain, 4)
	if err != nil {
		t.Fatal(err)
	}
	sig, _ := hex.DecodeString(v.Signatures[0].Signature)
	if !ed25519.Verify(key.Bytes(), sshSigned("git", content), sig) {
		t.Error("crypto/ed25519 refuses it")
	}
	s.fails(errs.ExitFailure, "no SSH signature", "sign", "--key", "btc", "--kind", "ssh", "--namespace", "git", "--message", file, "--wait", "--key-file", svc)
	out := s.ok("sign", "--key", "ed", "--kind", "ssh", "--namespace", "file", "--message", file, "--wait", "--key-file", svc)
	s.ok("sign", "--key", "ed", "--kind", "ssh", "--namespace", "file", "--message", file, "--out", s.path("release.sig"), "--key-file", svc)
	if !strings.HasPrefix(out, "-----BEGIN SSH SIGNATURE-----\n") || !strings.HasPrefix(root.Threshold.SSH, "ssh-ed25519 AAAA") {
		t.Errorf("%s\n%s", out, root.Threshold.SSH)
	}
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		if os.Getenv("TETRAD_CI") != "" {
			t.Fatal("no ssh-keygen here: make deps installs it")
		}
		t.Skip("ssh-keygen is not installed: nobody else judged the signature files")
	}
	signers := s.write("signers", []byte("root@acme "+root.Threshold.SSH+"\nchild@acme "+child.SSH+"\n"))
	verify := func(who, namespace, sig string, content []byte) error {
		c := exec.Command("ssh-keygen", "-Y", "verify", "-f", signers, "-I", who, "-n", namespace, "-s", s.write("sig", []byte(sig)))
		c.Stdin = bytes.NewReader(content)
		said, err := c.CombinedOutput()
		t.Logf("%s, %s: %s", who, namespace, said)
		return err
	}
	for who, want := range map[string]bool{"child@acme": true, "root@acme": false} {
		if err := verify(who, "git", v.SSH, content); (err == nil) != want {
			t.Errorf("%s: %v", who, err)
		}
	}
	if err := verify("root@acme", "file", out, content); err != nil {
		t.Error(err)
	}
	if verify("root@acme", "git", out, content) == nil || verify("root@acme", "file", out, content[1:]) == nil {
		t.Error("it is taken for another namespace or file")
	}
}

// TestMessagesAreOrdinary: a message under any child is plain Ed25519, as crypto/ed25519 has it.
func TestMessagesAreOrdinary(t *testing.T) {
	s := newStage(t)
	ed := s.key(1, "ed", command.Ed25519)
	for _, path := range [][]uint32{nil, {0}, {1, 1<<31 - 1}} {
		for _, message := range []string{"x", strings.Repeat("long ", 1000), string(sshSigned("git", nil))} {
			var v signedView
			s.json(&v, "sign", "--key", "ed", "--message", s.write("m", []byte(message)), "--path", command.PathText(path), "--wait", "--key-file", s.path("svc.key"))
			key, _, err := intent.Child(command.Ed25519, ed.Public.Compressed(), ed.Chain, path...)
			if err != nil {
				t.Fatal(err)
			}
			if sig, _ := hex.DecodeString(v.Signatures[0].Signature); !ed25519.Verify(key, []byte(message), sig) {
				t.Errorf("%v: crypto/ed25519 refuses a message of %d bytes", path, len(message))
			}
		}
	}
}
