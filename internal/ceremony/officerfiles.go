package ceremony

import (
	"bytes"
	"fmt"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/genesis"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// OfficerShare is one officer's part of the root key, encrypted to the officer's age
// recipient, and the recipient to prove it to. The officer keeps this file.
type OfficerShare struct {
	origin
	Genesis    [32]byte
	Region     identity.RegionID // that dealt it and asks for the proof
	Index      uint8             // officer, from 1
	Recipient  string            // the officer's
	Asking     string            // age recipient of the region
	Ciphertext []byte
	Sig        []byte // by the region's identity key: nobody else may ask
}

func (o *OfficerShare) body(w *wire.Writer) {
	w.U8(1)
	w.Fixed(o.Genesis[:])
	w.U8(uint8(o.Region))
	w.U8(o.Index)
	w.String(o.Recipient)
	w.String(o.Asking)
	w.Blob(o.Ciphertext)
}

func (o *OfficerShare) signedBytes() []byte {
	w := wire.NewWriter(8192)
	w.String("tetrad/officer-share/v1")
	o.body(w)
	return w.Bytes()
}

// Encode returns the canonical form.
func (o *OfficerShare) Encode() []byte {
	w := wire.NewWriter(8192)
	o.body(w)
	w.Blob(o.Sig)
	return w.Bytes()
}

// File returns the share as text.
func (o *OfficerShare) File() []byte { return armor(blockShare, o.Encode()) }

func decodeOfficerShare(b []byte) (*OfficerShare, error) {
	r, o := wire.NewReader(b), &OfficerShare{}
	if v := r.U8(); v != 1 {
		r.Fail("officer share version %d", v)
	}
	r.Fixed(o.Genesis[:])
	o.Region = identity.RegionID(r.U8())
	o.Index = r.U8()
	o.Recipient = r.String(genesis.MaxRecipient)
	o.Asking = r.String(genesis.MaxRecipient)
	o.Ciphertext = bytes.Clone(r.Blob(maxCiphertext))
	o.Sig = bytes.Clone(r.Blob(command.MaxSignatureLen))
	return o, r.Done()
}

// OfficerProof is an officer's answer: the same share, encrypted to the asking region.
type OfficerProof struct {
	origin
	Genesis    [32]byte
	Region     identity.RegionID
	Index      uint8
	Ciphertext []byte
}

// Encode returns the canonical form.
func (o *OfficerProof) Encode() []byte {
	w := wire.NewWriter(4096)
	w.U8(1)
	w.Fixed(o.Genesis[:])
	w.U8(uint8(o.Region))
	w.U8(o.Index)
	w.Blob(o.Ciphertext)
	return w.Bytes()
}

// File returns the proof as text.
func (o *OfficerProof) File() []byte { return armor(blockProof, o.Encode()) }

func decodeOfficerProof(b []byte) (*OfficerProof, error) {
	r, o := wire.NewReader(b), &OfficerProof{}
	if v := r.U8(); v != 1 {
		r.Fail("officer proof version %d", v)
	}
	r.Fixed(o.Genesis[:])
	o.Region = identity.RegionID(r.U8())
	o.Index = r.U8()
	o.Ciphertext = bytes.Clone(r.Blob(maxCiphertext))
	return o, r.Done()
}

func (o *OfficerProof) who() string { return fmt.Sprintf("proof of officer %d%s", o.Index, o.in()) }

// OfficersProved is a region's signed word that all officers gave their shares back
// and that these reconstruct the root key of this genesis.
type OfficersProved struct {
	origin
	Genesis   [32]byte
	Region    identity.RegionID
	Threshold uint8
	Officers  uint8
	Sig       []byte
}

func (o *OfficersProved) body(w *wire.Writer) {
	w.U8(1)
	w.Fixed(o.Genesis[:])
	w.U8(uint8(o.Region))
	w.U8(o.Threshold)
	w.U8(o.Officers)
}

func (o *OfficersProved) signedBytes() []byte {
	w := wire.NewWriter(96)
	w.String("tetrad/officers-proved/v1")
	o.body(w)
	return w.Bytes()
}

// Encode returns the canonical form.
func (o *OfficersProved) Encode() []byte {
	w := wire.NewWriter(256)
	o.body(w)
	w.Blob(o.Sig)
	return w.Bytes()
}

// File returns the word as text.
func (o *OfficersProved) File() []byte { return armor(blockOfficers, o.Encode()) }

func decodeOfficersProved(b []byte) (*OfficersProved, error) {
	r, o := wire.NewReader(b), &OfficersProved{}
	if v := r.U8(); v != 1 {
		r.Fail("officers' word version %d", v)
	}
	r.Fixed(o.Genesis[:])
	o.Region = identity.RegionID(r.U8())
	o.Threshold, o.Officers = r.U8(), r.U8()
	o.Sig = bytes.Clone(r.Blob(command.MaxSignatureLen))
	return o, r.Done()
}
