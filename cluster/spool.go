package cluster

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// A snapshot that arrives goes to a file first and is opened once, before raft hears of
// it: raft's main loop would wait for its sender, deaf to votes and heartbeats meanwhile.

const (
	spoolTime = time.Minute // for any snapshot, and beyond that
	spoolRate = 256 << 10   // bytes a second that a sender must manage
)

type spool struct {
	io.Reader
	sum summary
	f   durable.File
	fs  durable.FS
	at  string
}

// receive stores size bytes of body and verifies them.
func (s *snapshotStore) receive(body io.Reader, size int64, minFree uint64) (*spool, error) {
	if size <= 0 || size > maxSnapshot {
		return nil, errs.New(errs.TooLarge, "snapshot of %d bytes, limit %d", size, int64(maxSnapshot))
	}
	if free, err := s.fs.Free(); err == nil && free < uint64(2*size)+minFree { // here, and where raft copies it
		return nil, errs.New(errs.DiskFull, "a snapshot of %d bytes does not fit: %d are left", size, free).
			WithHint("free disk space in the data directory")
	}
	s.mu.Lock()
	s.serial++
	p := &spool{fs: s.fs, at: fmt.Sprintf("%s/%s%d", snapshotDir, incomingPrefix, s.serial)}
	s.mu.Unlock()
	var err error
	if p.f, err = s.fs.Open(p.at); err != nil {
		return nil, err
	}
	n, err := io.Copy(io.NewOffsetWriter(p.f, 0), io.LimitReader(paced(body, size), size))
	if err == nil && n < size {
		err = errs.New(errs.Malformed, "snapshot of %d bytes ends after %d", size, n)
	}
	if err == nil {
		_, p.sum, err = verifyEnvelope(p.open(size), s.sealer)
	}
	if err != nil {
		return nil, errors.Join(err, p.Close())
	}
	p.Reader = p.open(size)
	return p, nil
}

func (p *spool) open(size int64) io.Reader {
	return bufio.NewReaderSize(io.NewSectionReader(p.f, 0, size), 64<<10)
}

func (p *spool) Close() error { return errors.Join(p.f.Close(), p.fs.Remove(p.at)) }

// paced fails when a sender is so slow that it only keeps others waiting.
func paced(r io.Reader, size int64) io.Reader {
	end := time.Now().Add(spoolTime + time.Duration(size/spoolRate)*time.Second)
	return readerFunc(func(b []byte) (int, error) {
		if time.Now().After(end) {
			return 0, errs.New(errs.DeadlineExceeded, "snapshot of %d bytes comes too slowly", size)
		}
		return r.Read(b)
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// spooled receives one snapshot at a time, while its sender leads.
func (c *Cluster) spooled(from remote, term uint64, size int64, body io.Reader) (*spool, error) {
	if !c.spooling.CompareAndSwap(false, true) {
		return nil, errs.New(errs.Throttled, "another snapshot is being received")
	}
	defer c.spooling.Store(false)
	leads := readerFunc(func(b []byte) (int, error) {
		if now := c.book.record().Term; now != term {
			return 0, errs.New(errs.Stale, "the sender of a snapshot led term %d, and it is term %d", term, now)
		}
		return body.Read(b)
	})
	p, err := c.snapshots.receive(leads, size, c.cfg.MinFree)
	if err != nil {
		c.note(slog.LevelWarn, from.region, "snapshot not received", slog.String("error", err.Error()))
	}
	return p, err
}
