package vault

import (
	"bytes"
	"context"
	"encoding/hex"
	"log/slog"
	"os"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/clock"
	"github.com/tetrad-vault/tetrad/internal/durable/durabletest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// xorSealer stands in for encryption: what is on disk is not what was written, and a
// changed byte is noticed.
type xorSealer struct{}

func (xorSealer) Seal(plain, context []byte) ([]byte, error) {
	out := append([]byte{byte(len(context))}, plain...)
	sum := byte(0)
	for i := range out {
		out[i] ^= 0xa5
		sum += out[i]
	}
	return append(out, sum), nil
}

func (xorSealer) Open(sealed, context []byte) ([]byte, error) {
	out, sum := bytes.Clone(sealed), byte(0)
	for i := range out[:len(out)-1] {
		sum += out[i]
		out[i] ^= 0xa5
	}
	if sum != out[len(out)-1] || out[0] != byte(len(context)) {
		return nil, errs.New(errs.Corrupt, "sealed bytes fail their check")
	}
	return out[1 : len(out)-1], nil
}

func journalConfig(disk *durabletest.Disk) *Config {
	return &Config{FS: disk, Sealer: xorSealer{}, Clock: clock.Clock{}, Logger: slog.New(slog.DiscardHandler)}
}

func item7(n byte, attempt uint8) Item { return Item{command.RequestID{n}, attempt} }

func answered(t *testing.T, a *answers, it Item, signature string) {
	t.Helper()
	s, mine, fault := a.claim(it, time.Now().Add(time.Hour))
	if fault != nil || !mine {
		t.Fatalf("claim: mine %v, %v", mine, fault)
	}
	s.Signatures = [][]byte{[]byte(signature)}
	if err := a.settle(context.Background(), []*slot{s}); err != nil {
		t.Fatal(err)
	}
}

func stored(a *answers, it Item) string {
	if s, ok := a.slots[it]; ok && s.settled() {
		return string(bytes.Join(s.Signatures, nil))
	}
	return ""
}

func TestJournalGolden(t *testing.T) {
	batch := []record{
		{Item: item7(1, 1), Expiry: time.UnixMilli(1_770_000_000_123).UTC(), Signatures: [][]byte{{1, 2}, {3}}},
		{Item: item7(2, 3), Expiry: time.UnixMilli(1_770_000_060_000).UTC(), Refused: true},
	}
	const path = "testdata/answers-v1.hex"
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(encodeRecords(batch)); got != string(bytes.TrimSpace(want)) {
		t.Errorf("the stored form changed: %s", got)
	}
	raw, _ := hex.DecodeString(string(bytes.TrimSpace(want)))
	if got, err := decodeRecords(raw); err != nil || !reflect.DeepEqual(got, batch) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAnswersOnDisk(t *testing.T) {
	disk := durabletest.New()
	a, err := openAnswers(journalConfig(disk))
	if err != nil {
		t.Fatal(err)
	}
	for n := byte(1); n <= 5; n++ {
		answered(t, a, item7(n, 1), "signature "+string('a'+n))
	}
	a.forget([]command.RequestID{{5}}, true)

	t.Run("sealed", func(t *testing.T) {
		for _, name := range disk.Names() {
			if b, _ := disk.ReadFile(name); bytes.Contains(b, []byte("signature")) {
				t.Errorf("%s shows what it holds", name)
			}
		}
	})
	t.Run("killed", func(t *testing.T) {
		b, err := openAnswers(journalConfig(disk.Kill()))
		if err != nil {
			t.Fatal(err)
		}
		if got := stored(b, item7(3, 1)); got != "signature d" {
			t.Errorf("got %q", got)
		}
	})
}

func TestDamagedAnswers(t *testing.T) {
	write := func() (*durabletest.Disk, string) {
		disk := durabletest.New()
		a, err := openAnswers(journalConfig(disk))
		if err != nil {
			t.Fatal(err)
		}
		for n := byte(1); n <= 3; n++ {
			answered(t, a, item7(n, 1), "s")
		}
		return disk.Kill(), disk.Names()[0]
	}
	disk, name := write()
	f, _ := disk.Open(name)
	size, _ := f.Size()

	t.Run("torn end", func(t *testing.T) {
		disk, name := write()
		f, _ := disk.Open(name)
		_ = f.Truncate(size - 3)
		var said bytes.Buffer
		cfg := journalConfig(disk)
		cfg.Logger = slog.New(slog.NewTextHandler(&said, nil))
		a, err := openAnswers(cfg)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(said.String(), "stored answers torn") {
			t.Errorf("said of it: %q", said.String())
		}
		if stored(a, item7(1, 1)) != "s" || stored(a, item7(2, 1)) != "s" || stored(a, item7(3, 1)) != "" {
			t.Error("want all but the torn record")
		}
	})
	t.Run("flipped byte", func(t *testing.T) {
		disk, name := write()
		if err := disk.Flip(name, size/2); err != nil {
			t.Fatal(err)
		}
		a, err := openAnswers(journalConfig(disk))
		if err != nil {
			t.Fatal(err)
		}
		if stored(a, item7(1, 1)) != "s" || stored(a, item7(2, 1)) != "" || stored(a, item7(3, 1)) != "s" {
			t.Error("want all but the damaged record")
		}
	})
	t.Run("unreadable", func(t *testing.T) {
		disk, _ := write()
		disk.Inject(durabletest.Rule{Op: durabletest.OpRead, Err: durabletest.ErrIO})
		if _, err := openAnswers(journalConfig(disk)); err == nil {
			t.Error("a disk that cannot be read is no empty one")
		}
	})
}

func TestJournalRotates(t *testing.T) {
	disk := durabletest.New()
	a, err := openAnswers(journalConfig(disk))
	if err != nil {
		t.Fatal(err)
	}
	answered(t, a, item7(1, 1), "keep")
	a.book.size = maxAnswersFile + 1 // as if it had grown
	answered(t, a, item7(2, 1), "next")
	if names := disk.Names(); len(names) != 1 {
		t.Errorf("files %v, want one", names)
	}
	b, err := openAnswers(journalConfig(disk.Kill()))
	if err != nil {
		t.Fatal(err)
	}
	if stored(b, item7(1, 1)) != "keep" || stored(b, item7(2, 1)) != "next" {
		t.Error("lost in rotation")
	}
}

func TestAnswersAreForgottenInTime(t *testing.T) {
	a, err := openAnswers(journalConfig(durabletest.New()))
	if err != nil {
		t.Fatal(err)
	}
	answered(t, a, item7(1, 1), "s")
	a.prune(time.Now().Add(time.Hour))
	if len(a.slots) != 1 {
		t.Error("forgotten at its expiry, when clocks may still differ")
	}
	a.prune(time.Now().Add(2 * time.Hour))
	if len(a.slots) != 0 {
		t.Error("kept for ever")
	}
}

func TestAnswersAreBounded(t *testing.T) {
	a, err := openAnswers(journalConfig(durabletest.New()))
	if err != nil {
		t.Fatal(err)
	}
	for i := range maxAnswers {
		if _, mine, fault := a.claim(Item{command.RequestID{byte(i), byte(i >> 8), byte(i >> 16)}, 1}, time.Time{}); fault != nil || !mine {
			t.Fatal(i, fault)
		}
	}
	if _, _, fault := a.claim(item7(255, 9), time.Time{}); fault == nil || fault.Code != errs.Throttled {
		t.Errorf("got %v", fault)
	}
	for i := range maxRefusals + 10 {
		a.refused(Item{command.RequestID{byte(i), byte(i >> 8), byte(i >> 16)}, 1}, time.Time{})
	}
	if len(a.refusals) != maxRefusals || len(a.order) != maxRefusals {
		t.Errorf("%d refusals remembered", len(a.refusals))
	}
}

// TestAnswersOfAReusedID: once the log forgot an id, it may stand for another payload; what
// was signed, refused or begun for the earlier one is not for this one.
func TestAnswersOfAReusedID(t *testing.T) {
	a, err := openAnswers(journalConfig(durabletest.New()))
	if err != nil {
		t.Fatal(err)
	}
	it, was, now := item7(1, 1), time.Now(), time.Now().Add(time.Hour)
	s, _, _ := a.claim(it, was)
	if _, _, fault := a.claim(it, now); fault == nil || fault.Code != errs.Throttled {
		t.Errorf("claimed beside its earlier self: %v", fault)
	}
	s.Signatures = [][]byte{[]byte("of the earlier payload")}
	if err := a.settle(t.Context(), []*slot{s}); err != nil {
		t.Fatal(err)
	}
	a.refused(it, was)
	if err := a.renounce(t.Context(), it, now); errs.CodeOf(err) != errs.BadState {
		t.Errorf("a refusal of the earlier request is ground for a word: %v", err)
	}
	if a.earlier(item7(1, 2), now) != nil || a.earlier(item7(1, 2), was) == nil {
		t.Error("signatures of the earlier request serve this one")
	}
	again, mine, fault := a.claim(it, now)
	if fault != nil || !mine || again.Signatures != nil {
		t.Errorf("mine %v, %v", mine, fault)
	}
}

// TestAskingForAWordTakesNoSlot: a question that comes together with the ask for a word
// that is not due must not find the attempt taken, and so refuse it.
func TestAskingForAWordTakesNoSlot(t *testing.T) {
	a, err := openAnswers(journalConfig(durabletest.New()))
	if err != nil {
		t.Fatal(err)
	}
	expiry, stop := time.Now().Add(time.Hour), make(chan struct{})
	var asking sync.WaitGroup
	asking.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				_ = a.renounce(context.Background(), item7(1, 1), expiry)
			}
		}
	})
	for range 20_000 {
		s, mine, fault := a.claim(item7(1, 1), expiry)
		if !mine || fault != nil {
			t.Error("the attempt was taken")
			break
		}
		a.abandon(s, errs.New(errs.Internal, "only looking"))
	}
	close(stop)
	asking.Wait()
}

// TestNothingVisibleBeforeItIsWritten: both forms of a failed write leave no answer.
func TestNothingVisibleBeforeItIsWritten(t *testing.T) {
	for _, stored := range []bool{false, true} {
		disk := durabletest.New()
		a, err := openAnswers(journalConfig(disk))
		if err != nil {
			t.Fatal(err)
		}
		disk.Inject(durabletest.Rule{Op: durabletest.OpWrite, Err: durabletest.ErrIO, Stored: stored})
		s, _, _ := a.claim(item7(1, 1), time.Now().Add(time.Hour))
		s.Signatures = [][]byte{[]byte("s")}
		if err := a.settle(t.Context(), []*slot{s}); errs.CodeOf(err) != errs.DiskFailed {
			t.Errorf("got %v", err)
		}
		if <-s.done; s.err == nil {
			t.Error("an answer that was not written was shown")
		}
		answered(t, a, item7(1, 1), "again") // the place is free
	}
}

func TestOverloadIsLeftToASweep(t *testing.T) {
	c := &coordinator{cfg: &Config{Timing: DefaultTiming()}, waiting: newWaiting(), wake: make(chan struct{}, 1),
		running: map[command.RequestID]bool{}, reporting: map[identity.RegionID]bool{}}
	c.lead(true)
	defer c.lead(false)
	c.sweepAt = time.Time{}
	for i := range maxRounds {
		c.opened(command.Meta{Index: uint64(i)}, []command.RequestID{{byte(i), 1}})
	}
	if len(c.queue) != maxRounds || !c.sweepAt.IsZero() {
		t.Fatalf("%d rounds queued, sweep %v", len(c.queue), c.sweepAt)
	}
	c.opened(command.Meta{Index: 9999}, []command.RequestID{{9, 9}})
	if len(c.queue) != maxRounds || c.running[command.RequestID{9, 9}] || c.sweepAt.IsZero() {
		t.Error("beyond the limit: want nothing queued and a sweep")
	}
	c.opened(command.Meta{Index: 0}, []command.RequestID{{0, 1}})
	if len(c.queue) != maxRounds {
		t.Error("a request is worked on twice")
	}
}

// leaving is a replica at which something happens while it is looked at.
type leaving struct {
	Replica
	view fsm.View
	then func()
}

func (l leaving) View() fsm.View {
	l.then()
	return l.view
}

// TestOfficeLostDuringASweep: who leads no more has nothing to work on, also what it found
// while it still did.
func TestOfficeLostDuringASweep(t *testing.T) {
	kit := fsmtest.New(fsmtest.At(time.Now()))
	log, signer, key := kit.Ready(fsm.Options{})
	log.Must(log.By(signer, &command.RequestSignature{Key: key, Kind: command.KindMessage, Hash: command.HashSHA256, Payload: []byte("payment")}))
	for _, loses := range []bool{false, true} {
		c := &coordinator{waiting: newWaiting(), wake: make(chan struct{}, 1), running: map[command.RequestID]bool{}}
		c.cfg = &Config{Timing: DefaultTiming(), Replica: leaving{view: log.Machine.View(), then: func() { c.lead(!loses) }}}
		c.lead(true)
		c.sweep()
		term, queue, _ := c.take()
		if loses && (len(queue) > 0 || c.active > 0 || len(c.running) > 0) {
			t.Errorf("office lost: %d rounds, %d active, term %v", len(queue), c.active, term)
		}
		if !loses && len(queue) != 1 {
			t.Errorf("in office: %d rounds", len(queue))
		}
		c.lead(false)
	}
}

func TestSplitFitsACompletion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var items []*item
		for range rapid.IntRange(1, 400).Draw(t, "items") {
			n := rapid.SampledFrom([]int{1, 1, 1, 5, 100, command.MaxMessages}).Draw(t, "messages")
			items = append(items, &item{messages: make([][]byte, n)})
		}
		var back []*item
		for _, part := range split(items) {
			a := command.Answer{Sig: make([]byte, 64)}
			for _, it := range part {
				got := command.AnswerItem{Signers: make([]identity.RegionID, 4)}
				for range it.messages {
					got.Signatures = append(got.Signatures, make([]byte, 64))
				}
				a.Items = append(a.Items, got)
			}
			if n := len(a.Encode()); 4*(n+4) > command.MaxField {
				t.Fatalf("four answers of %d bytes do not fit one field", n)
			}
			back = append(back, part...)
		}
		if !reflect.DeepEqual(back, items) {
			t.Fatal("split loses or reorders items")
		}
	})
}

func TestWireRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		q := &Question{Meta: command.Meta{Index: rapid.Uint64().Draw(t, "index"), Term: rapid.Uint64().Draw(t, "term")}, Known: rapid.Uint64().Draw(t, "known")}
		q.Value[3] = rapid.Byte().Draw(t, "value")
		for range rapid.IntRange(0, 4).Draw(t, "partials") {
			q.Partials = append(q.Partials, rapid.SliceOfN(rapid.Byte(), 1, maxPartial).Draw(t, "partial"))
		}
		for range rapid.IntRange(0, 50).Draw(t, "items") {
			q.Items = append(q.Items, item7(rapid.Byte().Draw(t, "request"), rapid.Byte().Draw(t, "attempt")))
		}
		back, err := DecodeQuestion(q.Encode())
		if err != nil || !reflect.DeepEqual(back, q) {
			t.Fatalf("%v: %+v, want %+v", err, back, q)
		}
		ask := &Ask{Kind: command.WordRefused, About: 3, Items: q.Items}
		again, err := DecodeAsk(ask.Encode())
		if err != nil || !reflect.DeepEqual(again, ask) {
			t.Fatalf("%v: %+v, want %+v", err, again, ask)
		}
	})
	if _, err := DecodeQuestion(make([]byte, maxQuestion+1)); errs.CodeOf(err) != errs.TooLarge {
		t.Errorf("oversized question: %v", err)
	}
}

// canonical: what decodes encodes to the same bytes.
func canonical[T interface{ Encode() []byte }](f *testing.F, decode func([]byte) (T, error)) {
	f.Fuzz(func(t *testing.T, b []byte) {
		if v, err := decode(b); err == nil && !bytes.Equal(v.Encode(), b) {
			t.Errorf("%x decodes to what encodes to %x", b, v.Encode())
		}
	})
}

func FuzzDecodeQuestion(f *testing.F) {
	f.Add((&Question{Partials: [][]byte{{1}, {2}}, Items: []Item{item7(1, 1)}}).Encode())
	f.Add([]byte{})
	canonical(f, DecodeQuestion)
}

func FuzzDecodeAsk(f *testing.F) {
	f.Add((&Ask{Kind: command.WordUnreachable, About: 2, Items: []Item{item7(1, 1)}}).Encode())
	canonical(f, DecodeAsk)
}

type wordList []*command.Word

func (w wordList) Encode() []byte { return EncodeWords(w) }

func FuzzDecodeWords(f *testing.F) {
	f.Add(EncodeWords([]*command.Word{{Kind: command.WordRefused, About: 1, By: 1}}))
	canonical(f, func(b []byte) (wordList, error) { return DecodeWords(b) })
}

type recordList []record

func (r recordList) Encode() []byte { return encodeRecords(r) }

func FuzzDecodeRecords(f *testing.F) {
	f.Add(encodeRecords([]record{{Item: item7(1, 2), Expiry: time.UnixMilli(5), Signatures: [][]byte{{1}}}}))
	canonical(f, func(b []byte) (recordList, error) { return decodeRecords(b) })
}

// TestCompletedByAnotherPair: a completion that shows other regions' signatures only is no
// reason to forget what this region released for an earlier attempt.
func TestCompletedByAnotherPair(t *testing.T) {
	s := &statements{cfg: &Config{Region: 2}}
	for _, c := range []struct {
		by   []identity.RegionID
		want bool
	}{{[]identity.RegionID{1, 2}, true}, {[]identity.RegionID{1, 3}, false}, {nil, false}} {
		row := &fsm.Request{}
		for _, r := range c.by {
			row.Results = append(row.Results, fsm.SignatureSet{Region: r})
		}
		if s.shown(row) != c.want {
			t.Errorf("completed by %v: shown %t", c.by, !c.want)
		}
	}
}
