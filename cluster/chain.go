package cluster

import (
	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/cluster/chain"
	"github.com/tetrad-vault/tetrad/internal/errs"
)

// The chain binds every log entry to all before it (docs/spec/chain.md):
//
//	chain(0) = lineage
//	chain(i) = SHA-256(domain | chain(i-1) | term | index | type | SHA-256(data))
//
// Equal hashes at one index mean equal logs up to it, whoever led when.

// ChainHash returns the chain hash of an entry; data is SHA-256 of its bytes.
func ChainHash(prev [32]byte, term, index uint64, kind raft.LogType, data [32]byte) [32]byte {
	h := chain.Header{Prev: prev, Term: term, Index: index, Type: uint8(kind), Data: data}
	return h.Hash()
}

// link is one entry's place in the chain.
type link struct {
	index, term uint64
	chain       [32]byte
}

func (l link) place() chain.Link { return chain.Link{Term: l.term, Index: l.index, Hash: l.chain} }

func linkAt(l chain.Link) link { return link{l.Index, l.Term, l.Hash} }

// checkShape judges what raft believes blindly: contiguous indexes and ordered terms.
// Anything else lets a sender leave holes.
func checkShape(prevIndex, prevTerm, term uint64, entries []*raft.Log) error {
	for i, e := range entries {
		if e.Index != prevIndex+1 {
			return errs.New(errs.Invalid, "entry %d follows %d: indexes must be contiguous", e.Index, prevIndex)
		}
		if e.Term < prevTerm || e.Term > term || e.Term == 0 {
			return errs.New(errs.Invalid, "entry %d has term %d after %d in an append of term %d", e.Index, e.Term, prevTerm, term)
		}
		prevIndex, prevTerm = e.Index, entries[i].Term
	}
	return nil
}

// checkKind wants a known type, and a membership that decodes: raft panics on others.
func checkKind(e *raft.Log) error {
	switch e.Type {
	case raft.LogCommand:
		if len(e.Data) == 0 || len(e.Data) > maxSealed {
			return errs.New(errs.TooLarge, "entry %d has %d bytes, limit %d", e.Index, len(e.Data), maxSealed)
		}
		return nil
	case raft.LogNoop, raft.LogBarrier:
		if len(e.Data) != 0 {
			return errs.New(errs.Malformed, "entry %d of type %s carries data", e.Index, e.Type)
		}
		return nil
	case raft.LogConfiguration:
		_, err := decodeConfiguration(e.Data)
		return err
	}
	return errs.New(errs.Malformed, "entry %d has unknown type %d", e.Index, e.Type)
}

// decodeConfiguration is raft's decoder, which panics on bad bytes, made safe.
func decodeConfiguration(b []byte) (c raft.Configuration, err error) {
	if len(b) > maxConfig {
		return c, errs.New(errs.TooLarge, "membership of %d bytes, limit %d", len(b), maxConfig)
	}
	defer func() {
		if recover() != nil {
			err = errs.New(errs.Malformed, "membership does not decode")
		}
	}()
	c = raft.DecodeConfiguration(b)
	if len(c.Servers) == 0 || len(c.Servers) > maxServers {
		return c, errs.New(errs.Malformed, "membership of %d servers", len(c.Servers))
	}
	for _, s := range c.Servers {
		if s.ID == "" || s.Address == "" || len(s.ID) > maxServerID || len(s.Address) > maxAddr || s.Suffrage > raft.Nonvoter {
			return c, errs.New(errs.Malformed, "membership names a server that makes no sense")
		}
	}
	return c, nil
}
