package command

import (
	"encoding/binary"
	"fmt"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
)

// Body is the typed content of a command. Implementations list their fields once;
// encoding and decoding both follow that list.
type Body interface {
	Type() Type
	fields(f *fields)
}

// fields walks a body's fields in order, writing values out or reading them in.
type fields struct {
	decoding bool
	values   [][]byte
	next     int
	err      error
}

func encodeBody(b Body) [][]byte {
	f := &fields{}
	b.fields(f)
	return f.values
}

func decodeBody(t Type, in []Field) (Body, error) {
	mk, ok := bodies[t]
	if !ok {
		return nil, errs.New(errs.Malformed, "command type %d is unknown to this version", t)
	}
	f := &fields{decoding: true, values: make([][]byte, len(in))}
	for i := range in {
		f.values[i] = in[i].Value
	}
	b := mk()
	b.fields(f)
	if f.err == nil && f.next != len(f.values) {
		f.err = errs.New(errs.Malformed, "%s has %d fields, want %d", t, len(f.values), f.next)
	}
	if f.err != nil {
		return nil, f.err
	}
	return b, nil
}

func (f *fields) fail(name, format string, args ...any) {
	if f.err == nil {
		f.err = errs.New(errs.Malformed, "field %s: %s", name, fmt.Sprintf(format, args...))
	}
}

// value writes v, or returns the next stored value (nil after a fault).
func (f *fields) value(name string, v []byte) []byte {
	if !f.decoding {
		f.values = append(f.values, v)
		return v
	}
	if f.next >= len(f.values) {
		f.fail(name, "missing")
		return nil
	}
	f.next++
	return f.values[f.next-1]
}

func (f *fields) bytes(name string, p *[]byte, limit int) {
	b := f.value(name, *p)
	if !f.decoding || f.err != nil {
		return
	}
	if len(b) > limit {
		f.err = errs.New(errs.TooLarge, "field %s: %d bytes, limit %d", name, len(b), limit)
		return
	}
	*p = b
}

func (f *fields) text(name string, p *string, limit int) {
	b := []byte(*p)
	f.bytes(name, &b, limit)
	if f.decoding && f.err == nil {
		*p = string(b)
	}
}

func (f *fields) fixed(name string, p []byte) {
	b := f.value(name, append([]byte(nil), p...))
	if !f.decoding || f.err != nil {
		return
	}
	if len(b) != len(p) {
		f.fail(name, "%d bytes, want %d", len(b), len(p))
		return
	}
	copy(p, b)
}

func (f *fields) uint(name string, p *uint64, width int) {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], *p)
	f.fixed(name, b[8-width:])
	if f.decoding && f.err == nil {
		*p = binary.BigEndian.Uint64(b[:]) & (1<<(8*width-1)<<1 - 1)
	}
}

func (f *fields) u8(name string, p *uint8) {
	v := uint64(*p)
	f.uint(name, &v, 1)
	*p = uint8(v)
}

func (f *fields) u32(name string, p *uint32) {
	v := uint64(*p)
	f.uint(name, &v, 4)
	*p = uint32(v)
}

func (f *fields) u64(name string, p *uint64) { f.uint(name, p, 8) }

func (f *fields) flag(name string, p *bool) {
	var v uint8
	if *p {
		v = 1
	}
	f.u8(name, &v)
	if f.decoding && v > 1 {
		f.fail(name, "boolean byte is %d, not 0 or 1", v)
	}
	*p = v == 1
}

func (f *fields) key(name string, p *identity.PublicKey) {
	b := p.Encode()
	f.bytes(name, &b, 1100)
	if !f.decoding || f.err != nil {
		return
	}
	k, err := identity.DecodePublicKey(b)
	if err != nil {
		f.fail(name, "%v", err)
		return
	}
	*p = k
}

// list is a field that holds several byte strings: count, then length and bytes each.
func (f *fields) list(name string, p *[][]byte, most, limit int) {
	var joined []byte
	for _, b := range *p {
		joined = binary.BigEndian.AppendUint32(joined, uint32(len(b)))
		joined = append(joined, b...)
	}
	f.bytes(name, &joined, MaxField)
	if !f.decoding || f.err != nil {
		return
	}
	*p = nil
	for len(joined) > 0 {
		if len(joined) < 4 {
			f.fail(name, "truncated list")
			return
		}
		n := int(binary.BigEndian.Uint32(joined))
		if n > limit || n > len(joined)-4 || len(*p) == most {
			f.fail(name, "element %d: %d bytes, limit %d, at most %d elements", len(*p), n, limit, most)
			return
		}
		*p = append(*p, joined[4:4+n:4+n])
		joined = joined[4+n:]
	}
}

// absent walks past a last field that commands made before it was known do not have: an
// empty one is not written, and one that is there may not be empty, so that each body
// has one encoding.
func (f *fields) absent(name string, empty bool) bool {
	if !f.decoding {
		return empty
	}
	if f.err != nil || f.next == len(f.values) {
		return true
	}
	if len(f.values[f.next]) == 0 {
		f.fail(name, "there, but empty")
		return true
	}
	return false
}

// regions is a field of distinct ascending region ids.
func (f *fields) regions(name string, p *[]identity.RegionID) {
	b := make([]byte, len(*p))
	for i, r := range *p {
		b[i] = byte(r)
	}
	f.bytes(name, &b, MaxRegions)
	if !f.decoding || f.err != nil {
		return
	}
	*p = nil
	for i, v := range b {
		if v == 0 || i > 0 && b[i-1] >= v {
			f.fail(name, "region ids must ascend from 1")
			return
		}
		*p = append(*p, identity.RegionID(v))
	}
}

// path is a field of at most MaxDepth derivation indices, four bytes each.
func (f *fields) path(name string, p *[]uint32) {
	b := EncodePath(*p)
	f.bytes(name, &b, 4*MaxDepth)
	if f.decoding && f.err == nil {
		var err error
		if *p, err = DecodePath(b); err != nil {
			f.fail(name, "%v", err)
		}
	}
}

// EncodePath returns four bytes, big-endian, for each index of a derivation path.
func EncodePath(path []uint32) (b []byte) {
	for _, i := range path {
		b = binary.BigEndian.AppendUint32(b, i)
	}
	return b
}

// DecodePath parses EncodePath's form: at most MaxDepth indices, none hardened.
func DecodePath(b []byte) (path []uint32, err error) {
	if len(b)%4 != 0 || len(b) > 4*MaxDepth {
		return nil, errs.New(errs.Malformed, "a derivation path of %d bytes, want four each for at most %d indices", len(b), MaxDepth)
	}
	for ; len(b) > 0; b = b[4:] {
		i := binary.BigEndian.Uint32(b)
		if i >= 1<<31 {
			return nil, errs.New(errs.Malformed, "index %d of a derivation path is hardened: nobody has the secret that needs", i)
		}
		path = append(path, i)
	}
	return path, nil
}
