package cluster

import (
	"bytes"
	"crypto/sha256"

	"github.com/hashicorp/raft"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// The chain binds every log entry to all before it (docs/spec/chain.md):
//
//	chain(0) = lineage
//	chain(i) = SHA-256(domain | chain(i-1) | term | index | type | SHA-256(data))
//
// Equal hashes at one index mean equal logs up to it, whoever led when.

const chainDomain = "tetrad/chain/v1"

// ChainHash returns the chain hash of an entry; data is SHA-256 of its bytes.
func ChainHash(prev [32]byte, term, index uint64, kind raft.LogType, data [32]byte) [32]byte {
	var buf [15 + 32 + 8 + 8 + 1 + 32]byte
	w := append(buf[:0], chainDomain...)
	w = append(w, prev[:]...)
	w = be64(w, term)
	w = be64(w, index)
	w = append(w, uint8(kind))
	w = append(w, data[:]...)
	return sha256.Sum256(w)
}

func be64(b []byte, v uint64) []byte {
	return append(b, byte(v>>56), byte(v>>48), byte(v>>40), byte(v>>32), byte(v>>24), byte(v>>16), byte(v>>8), byte(v))
}

// extensionVersion is the newest form of raft.Log.Extensions this version writes.
const extensionVersion = 1

// Extension is what an entry carries in raft.Log.Extensions. Signature and Proof
// have their place already; this version leaves them empty.
type Extension struct {
	Chain     [32]byte
	Signature []byte // of the leader over lineage, term, index and chain hash
	Proof     []byte // leader proof, in the first entry of a term
}

const (
	maxChainSignature = 512
	maxChainProof     = 8 << 10
)

// Encode returns the canonical form.
func (e *Extension) Encode() []byte {
	w := wire.NewWriter(41 + len(e.Signature) + len(e.Proof))
	w.U8(extensionVersion)
	w.Fixed(e.Chain[:])
	w.Blob(e.Signature)
	w.Blob(e.Proof)
	return w.Bytes()
}

// DecodeExtension parses the canonical form.
func DecodeExtension(b []byte) (Extension, error) {
	r, e := wire.NewReader(b), Extension{}
	if v := r.U8(); v != extensionVersion {
		r.Fail("log extension version %d", v)
	}
	r.Fixed(e.Chain[:])
	e.Signature = bytes.Clone(r.Blob(maxChainSignature))
	e.Proof = bytes.Clone(r.Blob(maxChainProof))
	return e, r.Done()
}

// link is one entry's place in the chain.
type link struct {
	index, term uint64
	chain       [32]byte
}

// checkShape judges what raft believes blindly: contiguous indexes, ordered terms,
// known types and a membership that decodes. Anything else makes raft panic or lets
// a sender leave holes.
func checkShape(prevIndex, prevTerm, term uint64, entries []*raft.Log) error {
	for i, e := range entries {
		if e.Index != prevIndex+1 {
			return errs.New(errs.Invalid, "entry %d follows %d: indexes must be contiguous", e.Index, prevIndex)
		}
		if e.Term < prevTerm || e.Term > term || e.Term == 0 {
			return errs.New(errs.Invalid, "entry %d has term %d after %d in an append of term %d", e.Index, e.Term, prevTerm, term)
		}
		if err := checkKind(e); err != nil {
			return err
		}
		prevIndex, prevTerm = e.Index, entries[i].Term
	}
	return nil
}

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
