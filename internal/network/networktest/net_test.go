package networktest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

func pair(t *testing.T, n *Net) (a, b net.Conn) {
	t.Helper()
	l, err := n.Host("b").Listen("b:1")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if a, err = n.Host("a").Dial(t.Context(), "b:1"); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}

func TestLatencyOrderAndEOF(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		n.SetLatency(20 * time.Millisecond)
		a, b := pair(t, n)
		start := time.Now()
		for _, s := range []string{"one ", "two ", "three"} {
			if _, err := a.Write([]byte(s)); err != nil {
				t.Fatal(err)
			}
		}
		a.Close()
		got, err := io.ReadAll(b)
		if err != nil || string(got) != "one two three" {
			t.Fatalf("read %q, %v", got, err)
		}
		if d := time.Since(start); d != 20*time.Millisecond {
			t.Errorf("took %s, want 20ms", d)
		}
		if _, err := a.Write([]byte("x")); err == nil {
			t.Error("write after close succeeded")
		}
		b.Close()
	})
}

func TestCutHoldsAndHealDelivers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		a, b := pair(t, n)
		defer a.Close()
		defer b.Close()
		n.CutOneWay("a", "b")
		a.Write([]byte("held"))
		b.Write([]byte("free"))
		buf := make([]byte, 16)
		if k, err := a.Read(buf); err != nil || string(buf[:k]) != "free" {
			t.Fatalf("other direction: %q %v", buf[:k], err)
		}
		b.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := b.Read(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatalf("read across a cut: %v", err)
		}
		b.SetReadDeadline(time.Time{})
		go func() { time.Sleep(time.Minute); n.Heal("a", "b") }()
		if k, err := b.Read(buf); err != nil || string(buf[:k]) != "held" {
			t.Fatalf("after heal: %q %v", buf[:k], err)
		}
	})
}

func TestDialAcrossCutAndRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		if _, err := n.Host("a").Dial(t.Context(), "b:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("nobody listens: %v", err)
		}
		l, _ := n.Host("b").Listen("b:1")
		defer l.Close()
		n.Cut("a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.Host("a").Dial(ctx, "b:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("dial across a cut: %v", err)
		}
		go func() { time.Sleep(time.Second); n.HealAll() }()
		c, err := n.Host("a").Dial(t.Context(), "b:1")
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}

func TestReset(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		a, b := pair(t, n)
		done := make(chan error)
		go func() { _, err := b.Read(make([]byte, 1)); done <- err }()
		synctest.Wait()
		n.Reset("a")
		if err := <-done; !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("peer read %v", err)
		}
		if _, err := a.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatalf("own write %v", err)
		}
	})
}

func TestDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		n.SetLatency(time.Millisecond)
		a, _ := n.Host("a").ListenPacket("a:0")
		b, _ := n.Host("b").ListenPacket("b:7")
		defer a.Close()
		defer b.Close()
		n.Cut("a", "b")
		a.WriteTo([]byte("lost"), Addr("b:7"))
		n.HealAll()
		a.WriteTo([]byte("kept"), Addr("b:7"))
		buf := make([]byte, 16)
		k, from, err := b.ReadFrom(buf)
		if err != nil || string(buf[:k]) != "kept" || from.String() != a.LocalAddr().String() {
			t.Fatalf("%q from %v: %v", buf[:k], from, err)
		}
		b.SetReadDeadline(time.Now().Add(time.Second))
		if _, _, err := b.ReadFrom(buf); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal("the cut did not drop the datagram")
		}
	})
}

// TestWritesFailWithTheNews: whoever writes to a peer that closed does not know before the
// end of the stream has come, over the link's latency and not across a cut.
func TestWritesFailWithTheNews(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		a, b := pair(t, n)
		n.SetLatency(50 * time.Millisecond)
		_ = b.Close()
		if _, err := a.Write([]byte("on its way")); err != nil {
			t.Errorf("it knows at once: %v", err)
		}
		n.Cut("a", "b")
		time.Sleep(time.Second)
		if _, err := a.Write([]byte("cut off")); err != nil {
			t.Errorf("it knows across a cut: %v", err)
		}
		n.Heal("a", "b")
		if _, err := a.Write([]byte("late")); err == nil {
			t.Error("it never learns")
		}
		_ = a.Close()
		if _, err := a.Write([]byte("after all")); err == nil {
			t.Error("a closed end writes")
		}
	})
}
