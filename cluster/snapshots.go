package cluster

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"reflect"
	"strings"
	"sync"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

const (
	snapshotDir    = "snapshots"
	incomingPrefix = "incoming-"
	damagedPrefix  = "damaged-"
	retained       = 2
)

// snapshotStore keeps sealed snapshots as files, whose names order by index. It is
// raft's SnapshotStore and handles sealed bytes only: the machine's adapter seals
// and opens them.
type snapshotStore struct {
	fs      durable.FS
	sealer  Sealer
	lineage [32]byte
	chain   *chainStore
	log     *slog.Logger

	history func() *chain.Book // knows whoever may have signed a snapshot that is kept here

	based  func(link) // a snapshot stands there
	shelf  sync.Mutex // held while old ones go, and while a piece is read
	mu     sync.Mutex
	serial int
	newest uint64
}

func snapshotName(l link) string { return fmt.Sprintf("%020d-%020d", l.index, l.term) }

// names returns the snapshots on disk, newest first, and removes unfinished ones.
func (s *snapshotStore) names() ([]string, error) {
	all, err := s.fs.List(snapshotDir)
	if err != nil {
		return nil, err
	}
	var out []string
	for i := len(all) - 1; i >= 0; i-- {
		if n := all[i]; len(n) == 41 && !strings.HasPrefix(n, incomingPrefix) {
			out = append(out, n)
		}
	}
	return out, nil
}

func (s *snapshotStore) clean() error {
	all, err := s.fs.List(snapshotDir)
	if err != nil {
		return err
	}
	for _, n := range all {
		if strings.HasPrefix(n, incomingPrefix) {
			if err := s.fs.Remove(snapshotDir + "/" + n); err != nil {
				return err
			}
		}
	}
	return nil
}

// open returns a snapshot's header, its sealed bytes from the start, and its size.
func (s *snapshotStore) open(name string) (h envelopeHeader, r *fileReader, size int64, err error) {
	f, err := s.fs.Open(snapshotDir + "/" + name)
	if err != nil {
		return h, nil, 0, err
	}
	if size, err = f.Size(); err == nil {
		h, _, err = readEnvelopeHeader(io.NewSectionReader(f, 0, size))
	}
	if err == nil && h.Lineage != s.lineage {
		err = errs.New(errs.Stale, "snapshot %s belongs to another lineage", name)
	}
	if err == nil && snapshotName(h.Link) != name {
		err = errs.New(errs.Corrupt, "snapshot %s names another place in the log", name)
	}
	if err != nil {
		return h, nil, 0, errors.Join(err, f.Close())
	}
	return h, &fileReader{Reader: bufio.NewReaderSize(io.NewSectionReader(f, 0, size), 64<<10), f: f}, size, nil
}

type fileReader struct {
	io.Reader
	f durable.File
}

func (r *fileReader) Close() error { return r.f.Close() }

// verify opens every chunk of a snapshot.
func (s *snapshotStore) verify(name string) (envelopeHeader, error) {
	_, r, _, err := s.open(name)
	if err != nil {
		return envelopeHeader{}, err
	}
	defer r.Close()
	h, _, err := verifyEnvelope(r, s.sealer)
	return h, err
}

// verifyEnvelope opens everything, and says what the state in it amounts to.
func verifyEnvelope(r io.Reader, sealer Sealer) (envelopeHeader, summary, error) {
	e, err := newEnvelopeReader(r, sealer)
	if err != nil {
		return envelopeHeader{}, summary{}, err
	}
	c := &counter{hash: sha256.New()}
	_, err = io.Copy(c, e)
	return e.Header, c.summary(), err
}

// choose returns the place of the newest snapshot that verifies, zero without one.
// An older one may stand in for a damaged newest only when the log goes on from it
// without a gap and reaches the high-water mark: else acknowledged state would be
// lost in silence.
func (s *snapshotStore) choose(logFirst, logLast, mark uint64) (link, error) {
	if err := s.clean(); err != nil {
		return link{}, err
	}
	names, err := s.names()
	if err != nil {
		return link{}, err
	}
	var damaged error
	for _, name := range names {
		h, err := s.verify(name)
		if errs.CodeOf(err) == errs.Stale {
			return link{}, err
		}
		if err != nil {
			s.log.Error("snapshot is damaged", slog.String("snapshot", name), slog.String("error", err.Error()))
			damaged = err
			if err := s.fs.Rename(snapshotDir+"/"+name, snapshotDir+"/"+damagedPrefix+name); err != nil {
				return link{}, err
			}
			continue
		}
		if damaged == nil || h.Link.index >= mark || bridges(h.Link.index, logFirst, logLast, mark) {
			s.found(h.Link)
			return h.Link, nil
		}
		break
	}
	if damaged == nil || bridges(0, logFirst, logLast, mark) {
		return link{}, nil
	}
	return link{}, errs.Wrap(errs.Corrupt, damaged, "the newest snapshot is damaged, and nothing older reaches the durable mark %d", mark).
		WithHint(distrusted)
}

func bridges(index, logFirst, logLast, mark uint64) bool {
	return logFirst > 0 && logFirst <= index+1 && logLast > index && logLast >= mark
}

func (s *snapshotStore) found(l link) {
	s.chain.links.rebase(l)
	s.mu.Lock()
	s.newest = max(s.newest, l.index)
	s.mu.Unlock()
	if v, err := s.goodVoucher(l); err != nil {
		s.log.Error("voucher of a snapshot is damaged", slog.Uint64("index", l.index), slog.String("error", err.Error()))
	} else if v.Leader != nil {
		s.chain.remember(v.Leader)
	}
	s.based(l)
}

func (s *snapshotStore) newestIndex() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.newest
}

// List implements raft.SnapshotStore.
func (s *snapshotStore) List() ([]*raft.SnapshotMeta, error) {
	names, err := s.names()
	if err != nil {
		return nil, err
	}
	var out []*raft.SnapshotMeta
	for _, name := range names {
		h, r, size, err := s.open(name)
		if err != nil {
			s.log.Error("snapshot is damaged", slog.String("snapshot", name), slog.String("error", err.Error()))
			continue
		}
		_ = r.Close()
		out = append(out, h.meta(name, size))
	}
	return out, nil
}

// Open implements raft.SnapshotStore; the bytes are sealed.
func (s *snapshotStore) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	h, r, size, err := s.open(id)
	if err != nil {
		return nil, nil, err
	}
	return h.meta(id, size), r, nil
}

// Create implements raft.SnapshotStore, for the node's own and for installed ones.
func (s *snapshotStore) Create(_ raft.SnapshotVersion, index, term uint64, c raft.Configuration, configIndex uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	s.mu.Lock()
	s.serial++
	tmp := fmt.Sprintf("%s/%s%d", snapshotDir, incomingPrefix, s.serial)
	s.mu.Unlock()
	f, err := s.fs.Open(tmp)
	if err != nil {
		return nil, err
	}
	return &sink{store: s, f: f, tmp: tmp, index: index, term: term, config: c, configIndex: configIndex}, nil
}

// sink receives the sealed bytes of one snapshot. Close verifies them before the
// snapshot gets its name: what raft calls done can be restored.
type sink struct {
	store       *snapshotStore
	f           durable.File
	tmp         string
	size        int64
	index, term uint64
	config      raft.Configuration
	configIndex uint64
	closed      bool
	err         error
}

// header returns what the node's own snapshot of a mark begins with. raft named a later
// place.
func (k *sink) header(m *mark) (*envelopeHeader, error) {
	k.index, k.term, k.config, k.configIndex = m.at.index, m.at.term, m.config, m.configIndex
	l, err := k.store.chain.mustAt(k.index)
	if err != nil {
		return nil, err
	}
	if l != m.at {
		return nil, errs.New(errs.Internal, "snapshot at %d is of another log", k.index)
	}
	return &envelopeHeader{Lineage: k.store.lineage, Link: l, Config: raft.EncodeConfiguration(k.config), ConfigIndex: k.configIndex}, nil
}

func (k *sink) ID() string { return snapshotName(link{index: k.index, term: k.term}) }

func (k *sink) Write(p []byte) (int, error) {
	if k.size+int64(len(p)) > maxSnapshot {
		return 0, errs.New(errs.TooLarge, "snapshot exceeds %d bytes", int64(maxSnapshot))
	}
	n, err := k.f.WriteAt(p, k.size)
	k.size += int64(n)
	return n, err
}

func (k *sink) Cancel() error {
	if k.closed {
		return k.err
	}
	k.closed = true
	return errors.Join(k.f.Close(), k.store.fs.Remove(k.tmp))
}

func (k *sink) Close() error {
	if k.closed {
		return k.err
	}
	k.closed = true
	if k.err = k.finish(); k.err != nil {
		k.err = errors.Join(k.err, k.store.fs.Remove(k.tmp))
	}
	return k.err
}

func (k *sink) finish() error {
	h, err := k.check()
	if err = errors.Join(err, k.f.Close()); err != nil {
		return err
	}
	if err := k.store.fs.Rename(k.tmp, snapshotDir+"/"+k.ID()); err != nil {
		return err
	}
	k.store.found(h.Link)
	return k.store.reap()
}

func (k *sink) check() (envelopeHeader, error) {
	if err := k.f.Sync(); err != nil {
		return envelopeHeader{}, err
	}
	h, _, err := verifyEnvelope(bufio.NewReaderSize(io.NewSectionReader(k.f, 0, k.size), 64<<10), k.store.sealer)
	if err != nil {
		return h, err
	}
	c, err := decodeConfiguration(h.Config)
	if err != nil {
		return h, err
	}
	if h.Lineage != k.store.lineage || h.Link.index != k.index || h.Link.term != k.term ||
		h.ConfigIndex != k.configIndex || !reflect.DeepEqual(c, k.config) {
		return h, errs.New(errs.Unverified, "snapshot at %d/%d is for another place, membership or lineage than announced", k.index, k.term)
	}
	return h, nil
}

func (s *snapshotStore) reap() error {
	s.shelf.Lock()
	defer s.shelf.Unlock()
	names, err := s.names()
	if err != nil || len(names) <= retained {
		return err
	}
	for _, n := range names[retained:] {
		if err := errors.Join(s.fs.Remove(snapshotDir+"/"+n), s.fs.Remove(snapshotDir+"/"+n+proofSuffix)); err != nil {
			return err
		}
	}
	return nil
}
