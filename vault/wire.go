package vault

import (
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Question is what the leader asks one drawn region about the draws of one entry. It
// names requests; it carries nothing to be signed.
type Question struct {
	Meta     command.Meta
	Known    uint64   // index the leader had applied: who signs has come as far first
	Value    [32]byte // what the leader combined: the region compares, it does not believe
	Partials [][]byte // draw.Partial, the three behind Value
	Items    []Item
}

// Item names one attempt of one request.
type Item struct {
	Request command.RequestID
	Attempt uint8
}

const (
	questionVersion = 1
	askVersion      = 1
	wordsVersion    = 1
	maxPartial      = 256
	maxWord         = 1024
)

func writeMeta(w *wire.Writer, m command.Meta) {
	w.U64(m.Index)
	w.U64(m.Term)
	w.Fixed(m.Chain[:])
}

func readMeta(r *wire.Reader) (m command.Meta) {
	m.Index, m.Term = r.U64(), r.U64()
	r.Fixed(m.Chain[:])
	return m
}

func writeItems(w *wire.Writer, items []Item) {
	w.U32(uint32(len(items)))
	for _, it := range items {
		w.Fixed(it.Request[:])
		w.U8(it.Attempt)
	}
}

func readItems(r *wire.Reader) (items []Item) {
	n := r.Count(command.MaxItems)
	for i := 0; i < n && r.Err() == nil; i++ {
		var it Item
		r.Fixed(it.Request[:])
		it.Attempt = r.U8()
		items = append(items, it)
	}
	return items
}

func writeBlobs(w *wire.Writer, list [][]byte) {
	w.U32(uint32(len(list)))
	for _, b := range list {
		w.Blob(b)
	}
}

func readBlobs(r *wire.Reader, most, limit int) (list [][]byte) {
	n := r.Count(most)
	for i := 0; i < n && r.Err() == nil; i++ {
		list = append(list, r.Blob(limit))
	}
	return list
}

// Encode returns the canonical form.
func (q *Question) Encode() []byte {
	w := wire.NewWriter(512 + 17*len(q.Items))
	w.U8(questionVersion)
	writeMeta(w, q.Meta)
	w.U64(q.Known)
	w.Fixed(q.Value[:])
	writeBlobs(w, q.Partials)
	writeItems(w, q.Items)
	return w.Bytes()
}

// DecodeQuestion parses the canonical form; the co-signer judges it.
func DecodeQuestion(b []byte) (*Question, error) {
	if len(b) > maxQuestion {
		return nil, errs.New(errs.TooLarge, "co-sign question of %d bytes, limit %d", len(b), maxQuestion)
	}
	r := wire.NewReader(b)
	if v := r.U8(); v != questionVersion {
		r.Fail("co-sign question version %d", v)
	}
	q := &Question{Meta: readMeta(r), Known: r.U64()}
	r.Fixed(q.Value[:])
	q.Partials = readBlobs(r, command.MaxRegions, maxPartial)
	q.Items = readItems(r)
	return q, r.Done()
}

// Ask is what one region asks of another's word: with Items, one word for each attempt;
// without, one word on health. Question is what About left unanswered, for the witness to
// put it itself; it may be empty.
type Ask struct {
	Kind     command.WordKind
	About    identity.RegionID
	Items    []Item
	Question []byte
}

// Encode returns the canonical form.
func (a *Ask) Encode() []byte {
	w := wire.NewWriter(16 + 17*len(a.Items) + len(a.Question))
	w.U8(askVersion)
	w.U8(uint8(a.Kind))
	w.U8(uint8(a.About))
	writeItems(w, a.Items)
	w.Blob(a.Question)
	return w.Bytes()
}

// DecodeAsk parses the canonical form.
func DecodeAsk(b []byte) (*Ask, error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != askVersion {
		r.Fail("word question version %d", v)
	}
	a := &Ask{Kind: command.WordKind(r.U8()), About: identity.RegionID(r.U8())}
	a.Items = readItems(r)
	a.Question = r.Blob(maxQuestion)
	return a, r.Done()
}

// EncodeWords returns the canonical form of the words that answer an Ask.
func EncodeWords(words []*command.Word) []byte {
	w := wire.NewWriter(256 * (len(words) + 1))
	w.U8(wordsVersion)
	w.U32(uint32(len(words)))
	for _, v := range words {
		w.Blob(v.Encode())
	}
	return w.Bytes()
}

// DecodeWords parses the canonical form without verifying the signatures.
func DecodeWords(b []byte) (words []*command.Word, err error) {
	r := wire.NewReader(b)
	if v := r.U8(); v != wordsVersion {
		r.Fail("words version %d", v)
	}
	for _, raw := range readBlobs(r, command.MaxItems+1, maxWord) {
		v, err := command.DecodeWord(raw)
		if err != nil {
			return nil, err
		}
		words = append(words, v)
	}
	return words, r.Done()
}
