package vault

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// record is one answer as it stands on disk.
type record struct {
	Item
	Expiry     time.Time // of the request: worthless some time after
	Refused    bool      // by the region's word: never to be signed
	Signatures [][]byte
}

// recordGrace keeps a record past its expiry by more than clocks differ.
const recordGrace = 10 * time.Minute

func (r *record) spent(now time.Time) bool { return now.After(r.Expiry.Add(recordGrace)) }

// journal is the file behind answers: sealed batches of records, appended before an
// answer leaves and not synced. It survives the death of the process; power loss may
// take its tail, and then the same committed payload is signed again, by the same
// region, for the same attempt: never anything else.
//
//	file  = frame | frame | ...
//	frame = length of sealed (4 bytes) | sealed batch
//	batch = version | count | records
type journal struct {
	cfg  *Config
	turn chan struct{} // held while writing; a channel, since a disk may take its time
	file durable.File
	gen  uint64
	size int64
	old  []string // files of earlier generations, removed by the next rotation
}

const (
	journalDir     = "answers"
	journalVersion = 1
	journalContext = "tetrad/answers/v1"
)

// openJournal reads all generations; the caller rotates before the first append.
func openJournal(cfg *Config) (*journal, []record, error) {
	j := &journal{cfg: cfg, turn: make(chan struct{}, 1)}
	names, err := cfg.FS.List(journalDir)
	if err != nil {
		return nil, nil, err
	}
	var all []record
	for _, name := range names {
		path := journalDir + "/" + name
		gen, err := strconv.ParseUint(name, 16, 64)
		if err != nil {
			continue // not ours
		}
		j.gen = max(j.gen, gen)
		b, err := cfg.FS.ReadFile(path)
		if err != nil {
			return nil, nil, err
		}
		all = append(all, j.read(path, b)...)
		j.old = append(j.old, path)
	}
	return j, all, nil
}

// read returns the records of a file up to a torn end; that, and a frame that does not open,
// is left out, loudly.
func (j *journal) read(path string, b []byte) (out []record) {
	for off := 0; off < len(b); {
		frame, whole := frameAt(b[off:])
		if !whole {
			j.cfg.Logger.Warn("stored answers torn: a power cut does that to the last one, damage to any",
				slog.String("file", path), slog.Int("offset", off), slog.Int("left", len(b)-off))
			break
		}
		batch, err := j.open(frame)
		if err != nil {
			j.cfg.Logger.Error("stored answers damaged", slog.String("file", path), slog.Int("offset", off), slog.Any("error", err))
		}
		out = append(out, batch...)
		off += 4 + len(frame)
	}
	return out
}

// frameAt returns what the frame that b begins with holds, and whether it is all there.
func frameAt(b []byte) (frame []byte, whole bool) {
	if len(b) < 4 {
		return nil, false
	}
	n, b := int(binary.BigEndian.Uint32(b)), b[4:]
	if n <= 0 || n > len(b) {
		return nil, false
	}
	return b[:n], true
}

func (j *journal) open(sealed []byte) ([]record, error) {
	plain, err := j.cfg.Sealer.Open(sealed, []byte(journalContext))
	if err != nil {
		return nil, err
	}
	return decodeRecords(plain)
}

// append writes one batch. live is asked for when a new file must begin.
func (j *journal) append(ctx context.Context, batch []record, live func() []record) error {
	select {
	case j.turn <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-j.turn }()
	if j.size > maxAnswersFile {
		if err := j.rotate(live()); err != nil {
			return err
		}
	}
	return j.write(batch)
}

func (j *journal) write(batch []record) error {
	sealed, err := j.cfg.Sealer.Seal(encodeRecords(batch), []byte(journalContext))
	if err != nil {
		return err
	}
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(sealed))), sealed...)
	if _, err := j.file.WriteAt(frame, j.size); err != nil {
		return durable.Coded(err, "writing %s", j.path())
	}
	j.size += int64(len(frame))
	return nil
}

// rotate begins a new file with the live records, then removes the earlier ones.
func (j *journal) rotate(live []record) error {
	if j.file != nil {
		j.old = append(j.old, j.path())
		_ = j.file.Close() // nothing is lost with it: its records go into the next
	}
	j.gen++
	f, err := j.cfg.FS.Open(j.path())
	if err != nil {
		return err
	}
	j.file, j.size = f, 0
	for len(live) > 0 {
		n := min(len(live), 1024)
		if err := j.write(live[:n]); err != nil {
			return err
		}
		live = live[n:]
	}
	for _, path := range j.old {
		if err := j.cfg.FS.Remove(path); err != nil {
			return err
		}
	}
	j.old = nil
	return nil
}

func (j *journal) path() string { return fmt.Sprintf("%s/%016x", journalDir, j.gen) }

func (j *journal) close() error {
	j.turn <- struct{}{}
	defer func() { <-j.turn }()
	return j.file.Close()
}

func encodeRecords(batch []record) []byte {
	w := wire.NewWriter(16 + 160*len(batch))
	w.U8(journalVersion)
	w.U32(uint32(len(batch)))
	for _, r := range batch {
		w.Fixed(r.Request[:])
		w.U8(r.Attempt)
		w.Time(r.Expiry)
		w.Bool(r.Refused)
		writeBlobs(w, r.Signatures)
	}
	return w.Bytes()
}

func decodeRecords(b []byte) (batch []record, err error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != journalVersion {
		r.Fail("stored answers version %d", v)
	}
	n := r.Count(maxAnswers)
	for i := 0; i < n && r.Err() == nil; i++ {
		var x record
		r.Fixed(x.Request[:])
		x.Attempt = r.U8()
		x.Expiry = r.Time()
		x.Refused = r.Bool()
		for _, s := range readBlobs(r, command.MaxMessages, command.MaxSignatureLen) {
			x.Signatures = append(x.Signatures, bytes.Clone(s))
		}
		batch = append(batch, x)
	}
	if err := r.Done(); err != nil {
		return nil, errs.Wrap(errs.Corrupt, err, "stored answers")
	}
	return batch, nil
}
