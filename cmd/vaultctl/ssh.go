package main

import (
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"github.com/tetrad-vault/tetrad/api/client"
	tetradv1 "github.com/tetrad-vault/tetrad/api/tetrad/v1"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// SSH signatures of files (OpenSSH, PROTOCOL.sshsig): what is signed is a message like any
// other, which names what it is for, so that it is good for nothing else.
const (
	sshKind    = "ssh"
	sshKeyType = "ssh-ed25519"
	sshMagic   = "SSHSIG"
	sshHash    = "sha512"
	sshColumns = 70 // of an armoured line, as ssh-keygen writes it

	maxSSHFile      = 64 << 20 // the file is hashed here, only its hash is sent
	maxSSHNamespace = 256
)

// sshString appends a string as SSH writes it: length u32 and bytes.
func sshString[T []byte | string](b []byte, s T) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}

// sshPublic is an Ed25519 key of 32 bytes as SSH writes it.
func sshPublic(key []byte) []byte { return sshString(sshString(nil, sshKeyType), key) }

// sshKeyLine is the line of authorized_keys and allowed_signers, with a comment.
func sshKeyLine(key []byte, comment string) string {
	return sshKeyType + " " + base64.StdEncoding.EncodeToString(sshPublic(key)) + " " + comment
}

// sshSigned returns what is signed for a file.
func sshSigned(namespace string, file []byte) []byte {
	h := sha512.Sum512(file)
	b := sshString(sshString([]byte(sshMagic), namespace), "") // nothing reserved
	return sshString(sshString(b, sshHash), h[:])
}

// sshArmored returns the signature file of an Ed25519 signature of 64 bytes.
func sshArmored(key []byte, namespace string, sig []byte) []byte {
	b := binary.BigEndian.AppendUint32([]byte(sshMagic), 1)
	b = sshString(sshString(sshString(b, sshPublic(key)), namespace), "")
	b = sshString(sshString(b, sshHash), sshString(sshString(nil, sshKeyType), sig))
	text := base64.StdEncoding.EncodeToString(b)
	var out strings.Builder
	out.WriteString("-----BEGIN SSH SIGNATURE-----\n")
	for len(text) > 0 {
		n := min(sshColumns, len(text))
		out.WriteString(text[:n] + "\n")
		text = text[n:]
	}
	out.WriteString("-----END SSH SIGNATURE-----\n")
	return []byte(out.String())
}

func (s *signing) parseSSH() error {
	switch {
	case s.asKind != sshKind && s.namespace != "":
		return usagef("--namespace is for --kind ssh")
	case s.asKind != sshKind:
		return nil
	case s.message == "" || s.hash != "":
		return usagef("--kind ssh is for --message, without --hash")
	case s.namespace == "" || len(s.namespace) > maxSSHNamespace:
		return usagef("--kind ssh wants --namespace, what the signature is for: git, file, ...")
	}
	return nil
}

// checkSSH refuses keys that make no SSH signature.
func (s *signing) checkSSH(k *client.Key) error {
	if s.asKind != sshKind || isThreshold(k) && k.Curve == tetradv1.Curve_CURVE_ED25519 {
		return nil
	}
	return errs.New(errs.Invalid, "key %s makes no SSH signature", k.Name).WithHint("create a threshold key on ed25519")
}
