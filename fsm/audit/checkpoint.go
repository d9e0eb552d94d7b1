package audit

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Checkpoint names a tree: this cluster's history up to Size leaves.
type Checkpoint struct {
	Cluster    identity.ClusterID
	Size       uint64
	Root       [32]byte
	Signatures []CheckpointSignature // ascending by region, at most one each
}

// CheckpointSignature is one region's word that its own replica holds the tree.
type CheckpointSignature struct {
	Region  identity.RegionID
	Session identity.Fingerprint
	At      time.Time
	Sig     []byte
}

// Origin names the log for people and other tools: "tetrad/<cluster>".
func (c *Checkpoint) Origin() string { return fmt.Sprintf("tetrad/%x", c.Cluster[:]) }

// Text returns the checkpoint as the three lines people know from transparency logs.
func (c *Checkpoint) Text() string {
	return fmt.Sprintf("%s\n%d\n%s\n", c.Origin(), c.Size, base64.StdEncoding.EncodeToString(c.Root[:]))
}

// SignedBytes returns what a region's session key signs.
func (c *Checkpoint) SignedBytes(region identity.RegionID, at time.Time) []byte {
	w := wire.NewWriter(128)
	w.String("tetrad/checkpoint/v1")
	w.Fixed(c.Cluster[:])
	w.U64(c.Size)
	w.Fixed(c.Root[:])
	w.U8(uint8(region))
	w.Time(at)
	return w.Bytes()
}

// Sign adds a region's signature, in its place.
func (c *Checkpoint) Sign(ctx context.Context, region identity.RegionID, s identity.Signer, at time.Time) error {
	at = at.Truncate(time.Millisecond).UTC()
	sig, err := s.Sign(ctx, c.SignedBytes(region, at))
	if err != nil {
		return err
	}
	return c.Add(CheckpointSignature{region, s.Public().Fingerprint(), at, sig})
}

// Add puts a signature in its place, replacing an older one of the same region.
func (c *Checkpoint) Add(s CheckpointSignature) error {
	i := 0
	for i < len(c.Signatures) && c.Signatures[i].Region < s.Region {
		i++
	}
	if i < len(c.Signatures) && c.Signatures[i].Region == s.Region {
		c.Signatures[i] = s
		return nil
	}
	if len(c.Signatures) == command.MaxRegions {
		return errs.New(errs.TooLarge, "checkpoint of %d leaves already carries %d signatures", c.Size, command.MaxRegions)
	}
	c.Signatures = append(c.Signatures[:i:i], append([]CheckpointSignature{s}, c.Signatures[i:]...)...)
	return nil
}

const checkpointFormat = 1

// Encode returns the canonical form.
func (c *Checkpoint) Encode() []byte {
	w := wire.NewWriter(64 + 120*len(c.Signatures))
	w.U8(checkpointFormat)
	w.Fixed(c.Cluster[:])
	w.U64(c.Size)
	w.Fixed(c.Root[:])
	w.U8(uint8(len(c.Signatures)))
	for _, s := range c.Signatures {
		w.U8(uint8(s.Region))
		w.Fixed(s.Session[:])
		w.Time(s.At)
		w.Blob(s.Sig)
	}
	return w.Bytes()
}

// DecodeCheckpoint parses the canonical form without verifying its signatures.
func DecodeCheckpoint(b []byte) (*Checkpoint, error) {
	r, c := wire.NewReader(b), &Checkpoint{}
	if v := r.U8(); v != checkpointFormat {
		r.Fail("checkpoint format %d, this version reads %d", v, checkpointFormat)
	}
	r.Fixed(c.Cluster[:])
	c.Size = r.U64()
	r.Fixed(c.Root[:])
	n := int(r.U8())
	if n > command.MaxRegions {
		r.Fail("%d checkpoint signatures, limit %d", n, command.MaxRegions)
	}
	for i := 0; i < n && r.Err() == nil; i++ {
		s := CheckpointSignature{Region: identity.RegionID(r.U8())}
		r.Fixed(s.Session[:])
		s.At = r.Time()
		s.Sig = bytes.Clone(r.Blob(command.MaxSignatureLen))
		if i > 0 && c.Signatures[i-1].Region >= s.Region {
			r.Fail("checkpoint signatures must ascend by region")
		}
		c.Signatures = append(c.Signatures, s)
	}
	return c, r.Done()
}
