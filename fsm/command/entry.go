package command

import (
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// EntryFormat is the newest entry format this version writes.
const EntryFormat = 1

// Entry is one log entry before sealing: a batch of commands under the leader's
// time stamp. Apply handles the commands in order, all at one index.
type Entry struct {
	Stamp    time.Time // leader's clock, millisecond resolution
	Commands []*Command
}

// Encode returns the canonical form.
func (e *Entry) Encode() []byte {
	encoded := make([][]byte, len(e.Commands))
	n := 16
	for i, c := range e.Commands {
		encoded[i] = c.Encode()
		n += 4 + len(encoded[i])
	}
	w := wire.NewWriter(n)
	w.U8(EntryFormat)
	w.Time(e.Stamp)
	w.U32(uint32(len(encoded)))
	for _, b := range encoded {
		w.Blob(b)
	}
	return w.Bytes()
}

// DecodeEntry parses the canonical form, every command included. A certified entry
// that does not decode halts the node: it is never skipped. The result aliases b.
func DecodeEntry(b []byte) (*Entry, error) {
	if len(b) > MaxEntry {
		return nil, errs.New(errs.TooLarge, "entry of %d bytes, limit %d", len(b), MaxEntry)
	}
	r := wire.NewReader(b)
	if v := r.U8(); v != EntryFormat {
		r.Fail("entry format %d, this version reads %d", v, EntryFormat)
	}
	e := &Entry{Stamp: r.Time()}
	n := r.Count(MaxCommands)
	for i := 0; i < n && r.Err() == nil; i++ {
		raw := r.Blob(MaxCommand)
		if r.Err() != nil {
			break
		}
		c, err := Decode(raw)
		if err != nil {
			return nil, errs.Wrap(errs.CodeOf(err), err, "command %d of %d", i+1, n)
		}
		e.Commands = append(e.Commands, c)
	}
	return e, r.Done()
}

// Meta is where an entry stands in the log: what Apply and the beacon need beside
// the entry itself.
type Meta struct {
	Index uint64
	Term  uint64
	Chain [32]byte // chain hash up to and including this entry
}
