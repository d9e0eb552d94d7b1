package lab_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/deploy/lab"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// TestRejoin loses a region's disk: it does not start on an empty one, and comes back by
// the documented way under a new incarnation.
func TestRejoin(t *testing.T) {
	w := take(t)
	w.signs(t, 5)
	r := w.follower(t)
	w.stopped(t, r)
	if err := os.RemoveAll(data(r)); err != nil {
		t.Fatal(err)
	}
	w.refuses(t, r, errs.ExitFailure, "not_found", "vaultctl init")

	founding := []string{w.Path("founding/genesis.json"), w.Path("founding/ceremony.pem")}
	install := append([]string{"init", "install", "--config", r.Config()}, founding...)
	if _, err := w.Vaultctl(t.Context(), r.Env(), install...); err == nil || !strings.Contains(err.Error(), "--rejoin") {
		t.Errorf("an empty disk was taken for the one that enrolled: %v", err)
	}
	enrolment := w.Path(r.Name + ".again")
	if _, err := w.Vaultctl(t.Context(), r.Env(), append(install, "--rejoin", "--out", enrolment)...); err != nil {
		t.Fatal(err)
	}
	replace := []string{"region", "replace", r.Name, "--enrolment", enrolment}
	if _, err := w.Vaultctl(t.Context(), w.As(lab.Admins[0]), replace...); err == nil || !strings.Contains(err.Error(), "exit status 5") {
		t.Errorf("one administrator replaced a region: %v", err)
	}
	if _, err := w.Vaultctl(t.Context(), w.As(lab.Admins[0]), append(replace, "--cosign-key", w.KeyFile(lab.Admins[1]))...); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	if err := w.ready(t.Context(), r); err != nil {
		t.Fatalf("%v\n%s", err, r.Said())
	}
	if err := w.healthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.draws(t, r)
	if err := w.agree(t.Context()); err != nil {
		t.Error(err)
	}
	w.until(t, "the new incarnation votes", func() error {
		for _, o := range w.Regions {
			if strings.Contains(o.Said(), "msg=membership") && strings.Contains(o.Said(), "step=promote server="+r.Name) {
				return nil
			}
		}
		return errs.New(errs.NotReady, "no leader promoted it")
	})
}

// TestReinstall loses what install wrote: it writes the same again.
func TestReinstall(t *testing.T) {
	w := take(t)
	r := w.Regions[0]
	w.stopped(t, r)
	for _, name := range []string{"region", "unseal", "genesis.json"} {
		if err := os.Remove(filepath.Join(data(r), name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Vaultctl(t.Context(), r.Env(), "init", "install", "--config", r.Config(),
		w.Path("founding/genesis.json"), w.Path("founding/ceremony.pem")); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	if err := w.ready(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// TestOldDisk puts an old copy of a region's disk back. The region does not answer or
// sign before it has caught up, and history stays one.
func TestOldDisk(t *testing.T) {
	w := take(t)
	r := w.follower(t)
	w.stopped(t, r)
	old := w.Path("old")
	copyTree(t, data(r), old)
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	if err := w.healthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.draws(t, r)
	given := w.signs(t, 10)
	w.stopped(t, r)
	copyTree(t, old, data(r))
	// Two others are paused, so that nobody can tell the region what it forgot: it must
	// not come to sign, nor be ready, whatever its disk says.
	var paused []*lab.Region
	for _, o := range w.Regions {
		if o != r && len(paused) < 2 {
			o.Signal(syscall.SIGSTOP)
			defer o.Signal(syscall.SIGCONT)
			paused = append(paused, o)
		}
	}
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	time.Sleep(1500 * time.Millisecond)
	if said := r.Said(); strings.Contains(said, "ready to sign") {
		t.Errorf("region %s is ready without a quorum, %v paused:\n%s", r.Name, names(paused), said)
	}
	for _, o := range paused {
		o.Signal(syscall.SIGCONT)
	}
	if err := w.ready(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := w.healthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.draws(t, r)
	w.same(t, given)
	if err := w.agree(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestTwice starts a second process on a running region's data, and on a copy of them:
// neither comes up, and the first goes on.
func TestTwice(t *testing.T) {
	w := take(t)
	r := w.Regions[1]
	second := func(config string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, filepath.Join(w.Bin, "vaultd"), "--config", config)
		cmd.Env = r.Env()
		out, err := cmd.CombinedOutput()
		text := string(out)
		if err == nil || cmd.ProcessState.ExitCode() != errs.ExitFailure || !strings.Contains(text, "in use") || trouble.MatchString(text) {
			t.Errorf("a second process: %v\n%s", err, text)
		}
	}
	l := w.load(t, 2)
	l.goesOn(5)
	second(r.Config())
	clone := w.Path("clone")
	copyTree(t, data(r), clone)
	text, err := os.ReadFile(r.Config())
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(r.Dir, "clone.hcl")
	if err := os.WriteFile(config, []byte(strings.Replace(string(text), data(r), clone, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	second(config)
	l.goesOn(10)
	l.stop()
	if err := w.agree(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestNoSpace starts the leader with less free space than it must keep: it does not
// lead, says why, and leads again when there is room.
func TestNoSpace(t *testing.T) {
	w := take(t)
	r := w.leader(t)
	w.stopped(t, r)
	if err := edit(r, "log {", "limits {\n  min_free_disk = \"1000TiB\"\n}\n\nlog {"); err != nil {
		t.Fatal(err)
	}
	back := func() error { return edit(r, "limits {\n  min_free_disk = \"1000TiB\"\n}\n\n", "") }
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	if err := w.ready(t.Context(), r); err != nil {
		_ = back()
		t.Fatalf("%v\n%s", err, r.Said())
	}
	given := w.signs(t, 10)
	if said := r.Said(); !strings.Contains(said, "disk space") || !strings.Contains(said, "low=true") {
		t.Errorf("nothing said about the disk:\n%s", said)
	}
	if leader := w.leader(t); leader == r {
		t.Errorf("region %s leads with a full disk", r.Name)
	}
	w.stopped(t, r)
	if err := back(); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	w.same(t, given)
}

// TestFullDisk fills a region's file system under it: the region says disk_full, nothing
// acknowledged is lost, and it comes back when there is room.
func TestFullDisk(t *testing.T) {
	w := take(t)
	r := w.leader(t)
	w.stopped(t, r)
	kept := w.Path("kept")
	if err := os.Rename(data(r), kept); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(data(r), 0o700); err != nil {
		t.Fatal(err)
	}
	mount := exec.Command("mount", "-t", "tmpfs", "-o", "size=96m,mode=700", "tmpfs", data(r))
	if out, err := mount.CombinedOutput(); err != nil {
		_ = os.Remove(data(r))
		_ = os.Rename(kept, data(r))
		t.Skipf("no file system can be mounted here: %v %s", err, out)
	}
	mounted := true
	home := func() {
		if !mounted {
			return
		}
		mounted = false
		r.Kill()
		copyTree(t, data(r), kept)
		if out, err := exec.Command("umount", data(r)).CombinedOutput(); err != nil {
			t.Errorf("%v: %s", err, out)
		}
		_ = os.Remove(data(r))
		if err := os.Rename(kept, data(r)); err != nil {
			t.Error(err)
		}
	}
	defer home()
	if out, err := exec.Command("cp", "-a", kept+"/.", data(r)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	if err := w.healthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	l := w.load(t, 3)
	l.goesOn(5)
	// Full to the last byte.
	ballast := filepath.Join(data(r), "ballast")
	if out, err := exec.Command("dd", "if=/dev/zero", "of="+ballast, "bs=64k").CombinedOutput(); err == nil {
		t.Fatalf("the disk is not full: %s", out)
	}
	l.goesOn(60)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if _, err := r.Wait(ctx); err != nil {
		t.Fatalf("a region whose log cannot be written goes on: %v\n%s", err, r.Said())
	}
	if said := r.Said(); !strings.Contains(said, "vaultd: disk_full") || !strings.Contains(said, "hint: free disk space") {
		t.Errorf("how it ended:\n%s", said)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := w.Start(r); err != nil {
		t.Fatal(err)
	}
	if err := w.ready(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := w.healthy(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.draws(t, r)
	w.same(t, l.stop())
	if err := w.agree(t.Context()); err != nil {
		t.Error(err)
	}
	home()
}

func names(regions []*lab.Region) (out []string) {
	for _, r := range regions {
		out = append(out, r.Name)
	}
	return out
}
