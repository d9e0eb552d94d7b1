package command_test

import (
	"bytes"
	"testing"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

func FuzzDecodeCommand(f *testing.F) {
	for _, file := range []string{"command", "command-certified", "command-paths", "command-level", "command-import", "command-addresses", "command-reenrol"} {
		for _, b := range fsmtest.Vectors(f, root, file) {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := command.Decode(b)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Encode(), b) {
			t.Fatal("two encodings of one command")
		}
		body, err := c.Body()
		if err != nil || body.Type() != c.Type {
			t.Fatalf("decoded, but its body does not: %v", err)
		}
		again, err := command.New(body, c.Principal, c.ID, c.Expiry, zeros{})
		if err != nil || len(again.Fields) != len(c.Fields) {
			t.Fatalf("%d fields became %v: %v", len(c.Fields), again, err)
		}
		for i := range c.Fields {
			if !bytes.Equal(again.Fields[i].Value, c.Fields[i].Value) {
				t.Fatalf("field %d has two encodings", i)
			}
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	for _, b := range fsmtest.Vectors(f, root, "entry") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if e, err := command.DecodeEntry(b); err == nil && !bytes.Equal(e.Encode(), b) {
			t.Fatal("two encodings of one entry")
		}
	})
}

func FuzzDecodeCommitment(f *testing.F) {
	for _, b := range fsmtest.Vectors(f, root, "command") {
		if c, err := command.Decode(b); err == nil {
			cm := c.Commitment()
			f.Add(cm.Encode())
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := command.DecodeCommitment(b); err == nil && !bytes.Equal(c.Encode(), b) {
			t.Fatal("two encodings of one commitment")
		}
	})
}

func FuzzDecodeAnswer(f *testing.F) {
	f.Add(fsmtest.Vectors(f, root, "statement")["answer"])
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := command.DecodeAnswer(b); err == nil && !bytes.Equal(a.Encode(), b) {
			t.Fatal("two encodings of one answer")
		}
	})
}

func FuzzDecodeWord(f *testing.F) {
	f.Add(fsmtest.Vectors(f, root, "statement")["word"])
	f.Add(fsmtest.Vectors(f, root, "word-wrong")["answered wrongly"])
	f.Fuzz(func(t *testing.T, b []byte) {
		if w, err := command.DecodeWord(b); err == nil && !bytes.Equal(w.Encode(), b) {
			t.Fatal("two encodings of one word")
		}
	})
}

func FuzzDecodeOutcomeWord(f *testing.F) {
	f.Add(fsmtest.Vectors(f, root, "statement")["outcome word"])
	f.Add(fsmtest.Vectors(f, root, "statement")["outcome word without place"])
	f.Add(fsmtest.Vectors(f, root, "command-addresses")["outcome word"])
	f.Fuzz(func(t *testing.T, b []byte) {
		if a, err := command.DecodeOutcomeWord(b); err == nil && !bytes.Equal(a.Encode(), b) {
			t.Fatal("two encodings of one outcome word")
		}
	})
}

func FuzzDecodeClockWord(f *testing.F) {
	f.Add(fsmtest.Vectors(f, root, "statement")["clock word"])
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := command.DecodeClockWord(b); err == nil && !bytes.Equal(v.Encode(), b) {
			t.Fatal("two encodings of one clock word")
		}
	})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func FuzzDecodeReenrol(f *testing.F) {
	for _, b := range fsmtest.Vectors(f, root, "reenrol") {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := command.DecodeReenrol(b)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Bundle(), b) {
			t.Fatal("two encodings of one enrolment")
		}
		if e.Replaces != (identity.Fingerprint{}) {
			t.Fatal("a bundle says what it replaces")
		}
	})
}
