package cluster

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/hashicorp/raft"
	raftboltdb "github.com/hashicorp/raft-boltdb/v2"
	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/tetrad-vault/tetrad/internal/durable"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// OpenBolt opens raft's stores on bbolt below dir, made when missing. The stable
// store is a file of its own: a vote is one transaction of ours, which raft-boltdb
// does not offer.
func OpenBolt(dir string) (Stores, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return Stores{}, durable.Coded(err, "creating %s", dir)
	}
	log, err := openBoltLog(filepath.Join(dir, "log.db"))
	if err != nil {
		return Stores{}, err
	}
	stable, err := openBoltStable(filepath.Join(dir, "stable.db"))
	if err != nil {
		return Stores{}, errors.Join(err, log.Close())
	}
	return Stores{Log: boltLog{log}, Stable: stable, Close: func() error { return errors.Join(log.Close(), stable.db.Close()) }}, nil
}

// The freelist is neither synced (it is rebuilt at open) nor kept as an array, whose
// cost grows with the log. Every commit is fsynced.
func boltOptions() *bbolt.Options {
	return &bbolt.Options{Timeout: 2 * time.Second, NoFreelistSync: true, FreelistType: bbolt.FreelistMapType}
}

func openBoltLog(path string) (s *raftboltdb.BoltStore, err error) {
	if err := checkBolt(path); err != nil {
		return nil, err
	}
	defer func() { err = boltOpenError(path, err, recover()) }()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	return raftboltdb.New(raftboltdb.Options{Path: path, BoltOptions: boltOptions(), MsgpackUseNewTimeFormat: true})
}

func boltOpenError(path string, err error, panicked any) error {
	switch {
	case panicked != nil:
		return errs.New(errs.Corrupt, "%s is damaged: %v", filepath.Base(path), panicked).WithHint(distrusted)
	case err == nil:
		return nil
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return errs.Wrap(errs.Corrupt, err, "%s is damaged", filepath.Base(path)).
			WithHint(distrusted)
	case errors.Is(err, berrors.ErrTimeout):
		return errs.Wrap(errs.BadState, err, "%s is in use by another process", filepath.Base(path)).
			WithHint("a region has one process: is vaultd running already?")
	}
	return durable.Coded(err, "opening %s", filepath.Base(path))
}

// boltLog turns bbolt's panics on damaged pages into coded errors.
type boltLog struct{ s *raftboltdb.BoltStore }

func guard(what string, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = errs.New(errs.Corrupt, "%s: damaged database: %v", what, p)
		}
	}()
	return f()
}

func (b boltLog) FirstIndex() (i uint64, err error) {
	err = guard("first index", func() error { i, err = b.s.FirstIndex(); return err })
	return i, err
}

func (b boltLog) LastIndex() (i uint64, err error) {
	err = guard("last index", func() error { i, err = b.s.LastIndex(); return err })
	return i, err
}

func (b boltLog) GetLog(i uint64, l *raft.Log) error {
	return guard(fmt.Sprintf("log entry %d", i), func() error { return b.s.GetLog(i, l) })
}

func (b boltLog) StoreLog(l *raft.Log) error { return b.StoreLogs([]*raft.Log{l}) }

func (b boltLog) StoreLogs(logs []*raft.Log) error {
	return guard("storing", func() error { return b.s.StoreLogs(logs) })
}

// DeleteRange deletes in steps: one transaction over a whole compaction would hold
// up the log for as long as it takes.
func (b boltLog) DeleteRange(lo, hi uint64) error {
	last, err := b.LastIndex()
	if err != nil {
		return err
	}
	if hi >= last { // truncating a suffix must be all or nothing
		return guard("deleting", func() error { return b.s.DeleteRange(lo, hi) })
	}
	const step = 2000
	for ; lo <= hi; lo += step {
		if err := guard("deleting", func() error { return b.s.DeleteRange(lo, min(hi, lo+step-1)) }); err != nil {
			return err
		}
	}
	return nil
}

var stableBucket = []byte("stable")

// errNotFound carries the text raft compares with.
var errNotFound = errors.New("not found")

const stableSumSize = 8

// stableSum guards a value against bits that flip: a changed term or vote would look
// like any other.
func stableSum(key, value []byte) []byte {
	h := sha256.New()
	h.Write(key)
	h.Write([]byte{0})
	h.Write(value)
	return h.Sum(nil)[:stableSumSize]
}

// boltStable is a VoteStore on bbolt.
type boltStable struct{ db *bbolt.DB }

func openBoltStable(path string) (s *boltStable, err error) {
	if err := checkBolt(path); err != nil {
		return nil, err
	}
	defer func() { err = boltOpenError(path, err, recover()) }()
	db, err := bbolt.Open(path, 0o600, boltOptions())
	if err != nil {
		return nil, err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucketIfNotExists(stableBucket)
		return err
	})
	if err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &boltStable{db}, nil
}

func (s *boltStable) put(pairs ...[]byte) error {
	return guard("stable store", func() error {
		return s.db.Update(func(tx *bbolt.Tx) error {
			for i := 0; i < len(pairs); i += 2 {
				if err := tx.Bucket(stableBucket).Put(pairs[i], append(pairs[i+1][:len(pairs[i+1]):len(pairs[i+1])], stableSum(pairs[i], pairs[i+1])...)); err != nil {
					return err
				}
			}
			return nil
		})
	})
}

func (s *boltStable) Set(k, v []byte) error { return s.put(k, v) }

func (s *boltStable) SetUint64(k []byte, v uint64) error {
	return s.put(k, binary.BigEndian.AppendUint64(nil, v))
}

// SetVote writes both halves of a vote in one transaction.
func (s *boltStable) SetVote(term uint64, candidate []byte) error {
	return s.put([]byte(keyLastVoteTerm), binary.BigEndian.AppendUint64(nil, term), []byte(keyLastVoteCand), candidate)
}

func (s *boltStable) Get(k []byte) (v []byte, err error) {
	err = guard("stable store", func() error {
		return s.db.View(func(tx *bbolt.Tx) error {
			b := tx.Bucket(stableBucket).Get(k)
			if b == nil {
				return errNotFound
			}
			n := len(b) - stableSumSize
			if n < 0 || !bytes.Equal(b[n:], stableSum(k, b[:n])) {
				return errs.New(errs.Corrupt, "stable store: %s does not match its checksum", k)
			}
			v = append([]byte{}, b[:n]...)
			return nil
		})
	})
	return v, err
}

func (s *boltStable) GetUint64(k []byte) (uint64, error) {
	v, err := s.Get(k)
	if err != nil {
		return 0, err
	}
	if len(v) != 8 {
		return 0, errs.New(errs.Corrupt, "stable store: %s has %d bytes", k, len(v))
	}
	return binary.BigEndian.Uint64(v), nil
}
