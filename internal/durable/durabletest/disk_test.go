package durabletest_test

import (
	"bytes"
	"errors"
	"math/rand"
	"testing"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

func open(t testing.TB, d *durabletest.Disk, name string) durable.File {
	t.Helper()
	f, err := d.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestCrashLosesWhatWasNotSynced(t *testing.T) {
	d := durabletest.New()
	f := open(t, d, "a/log")
	_, _ = f.WriteAt([]byte("kept"), 0)
	if err := f.Sync(); err != nil {
		t.Fatal(err)
	}
	_, _ = f.WriteAt([]byte("lost"), 4)
	g := open(t, d, "a/new")
	_, _ = g.WriteAt([]byte("x"), 0)

	after := d.CrashClone(nil)
	if b, _ := after.ReadFile("a/log"); string(b) != "kept" {
		t.Errorf("after power loss: %q", b)
	}
	if names := after.Names(); len(names) != 1 {
		t.Errorf("a file never synced survived: %v", names)
	}
	alive := d.Kill()
	if b, _ := alive.ReadFile("a/log"); string(b) != "keptlost" {
		t.Errorf("after the process died: %q", b)
	}
	if err := f.Sync(); errs.CodeOf(err) != errs.DiskFailed {
		t.Errorf("a handle of the dead process still works: %v", err)
	}
}

func TestFaultForms(t *testing.T) {
	for _, stored := range []bool{false, true} {
		d := durabletest.New()
		f := open(t, d, "log")
		d.Inject(durabletest.Rule{Op: durabletest.OpWrite, After: 1, Err: durabletest.ErrIO, Stored: stored})
		if _, err := f.WriteAt([]byte("1"), 0); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte("2"), 1); !errors.Is(err, durabletest.ErrIO) {
			t.Fatalf("second write: %v", err)
		}
		if _, err := f.WriteAt([]byte("3"), 2); err != nil {
			t.Fatalf("third write: %v", err)
		}
		want := map[bool]string{false: "1\x003", true: "123"}[stored]
		if b, _ := d.ReadFile("log"); string(b) != want {
			t.Errorf("stored %v: %q, want %q", stored, b, want)
		}
	}
}

func TestFailedSyncForgetsPages(t *testing.T) {
	d := durabletest.New()
	f := open(t, d, "log")
	_, _ = f.WriteAt([]byte("a"), 0)
	_ = f.Sync()
	_, _ = f.WriteAt([]byte("b"), 1)
	d.Inject(durabletest.Rule{Op: durabletest.OpSync, Err: durabletest.ErrIO})
	if f.Sync() == nil || f.Sync() != nil {
		t.Fatal("one sync, and one only, was to fail")
	}
	if b, _ := d.CrashClone(nil).ReadFile("log"); string(b) != "a" {
		t.Errorf("a sync after a failed one brought back %q", b)
	}
}

func TestFullDisk(t *testing.T) {
	d := durabletest.New()
	d.SetCapacity(6)
	f := open(t, d, "log")
	if n, err := f.WriteAt([]byte("12345678"), 0); n != 6 || errs.CodeOf(err) != errs.DiskFull {
		t.Errorf("wrote %d, %v", n, err)
	}
	if err := d.WriteFile("b", []byte("x")); errs.CodeOf(err) != errs.DiskFull {
		t.Errorf("atomic write on a full disk: %v", err)
	}
	if free, _ := d.Free(); free != 0 {
		t.Errorf("%d bytes free", free)
	}
}

// What was synced survives any crash, whatever was written after it elsewhere.
func TestSyncedPrefixSurvives(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := durabletest.New()
		f := open(t, d, "log")
		var all []byte
		synced := 0
		for range rapid.IntRange(1, 20).Draw(rt, "steps") {
			if rapid.Bool().Draw(rt, "sync") {
				_ = f.Sync()
				synced = len(all)
				continue
			}
			b := rapid.SliceOfN(rapid.Byte(), 1, 9).Draw(rt, "data")
			_, _ = f.WriteAt(b, int64(len(all)))
			all = append(all, b...)
		}
		after := d.CrashClone(rand.New(rand.NewSource(rapid.Int64().Draw(rt, "seed"))))
		b, _ := after.ReadFile("log")
		if len(b) < synced || !bytes.Equal(b[:synced], all[:synced]) {
			rt.Fatalf("synced %q, after the crash %q", all[:synced], b)
		}
	})
}
