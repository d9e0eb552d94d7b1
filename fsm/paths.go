package fsm

import (
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/intent"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// FrozenPath is a child of a threshold key that signs nothing, nor does anything below it.
type FrozenPath struct {
	Path   []uint32 // at least one index
	By     identity.Fingerprint
	Reason string
}

// covers reports whether a child is the frozen one, or below it.
func (f *FrozenPath) covers(path []uint32) bool {
	return len(path) >= len(f.Path) && slices.Equal(path[:len(f.Path)], f.Path)
}

func (f *FrozenPath) coversAny(paths [][]uint32) bool { return slices.ContainsFunc(paths, f.covers) }

// Frozen is the one judge of what a freeze of a key or of its children stops: nil, or code
// Frozen, for what is to be signed under these children all together. Whether the vault is
// frozen it does not know.
func (k *Key) Frozen(paths ...[]uint32) *errs.Error {
	if k.State == KeyFrozen {
		return errs.New(errs.Frozen, "key %s is frozen", k.ID).WithHint("two administrators can unfreeze it")
	}
	return k.frozenOver(paths...)
}

// frozenOver judges the children alone.
func (k *Key) frozenOver(paths ...[]uint32) *errs.Error {
	for i := range k.FrozenPaths {
		if f := &k.FrozenPaths[i]; f.coversAny(paths) {
			return errs.New(errs.Frozen, "child %s of key %s is frozen, with all below it", command.PathText(f.Path), k.ID).
				WithHint("two administrators can unfreeze it")
		}
	}
	return nil
}

// FrozenFor is Frozen for an open request of the key. Where its children cannot be told,
// every frozen one counts as among them.
func (k *Key) FrozenFor(q *Request) *errs.Error {
	if len(k.FrozenPaths) == 0 {
		return k.Frozen()
	}
	paths, err := k.pathsOf(q)
	if err != nil {
		return errs.Wrap(errs.Frozen, err, "children of key %s are frozen, and those of request %s cannot be told", k.ID, q.ID)
	}
	return k.Frozen(paths...)
}

// pathsOf reads the children that an open request asks to sign from its payload, which was
// judged when it was opened.
func (k *Key) pathsOf(q *Request) ([][]uint32, error) {
	return intent.Paths(q.Kind, q.Payload, q.Path, k.Info())
}

// frozenAt finds the freeze of this very path; else where it would stand.
func (k *Key) frozenAt(path []uint32) (int, bool) {
	return slices.BinarySearchFunc(k.FrozenPaths, path, func(f FrozenPath, path []uint32) int { return slices.Compare(f.Path, path) })
}

func (t *task) freezePath(b *command.FreezePath) (deed, error) {
	k, err := t.brakes(b.Key, b.Reason)
	if err != nil {
		return nil, err
	}
	return t.brakePath(k, b.Path, b.Reason)
}

// brakePath may be pulled twice, as brakeKey. One under a freeze of the key, or of a parent,
// holds when that ends.
func (t *task) brakePath(k *Key, path []uint32, reason string) (deed, error) {
	i, found := k.frozenAt(path)
	offTemplate := k.Asset.CheckAbove(path)
	switch {
	case k.Scheme != command.SchemeThreshold:
		return nil, errs.New(errs.Invalid, "key %s is a multisig key: it has no children", k.ID).WithHint("freeze the key")
	case k.State != KeyActive && k.State != KeyFrozen:
		return nil, errs.New(errs.BadState, "key %s is %s", k.ID, k.State)
	case found:
		return func(*Outcome) {}, nil
	case offTemplate != nil:
		return nil, offTemplate
	case len(k.FrozenPaths) >= MaxFrozenPaths:
		return nil, errs.New(errs.TooLarge, "key %s has %d frozen paths, the most there may be", k.ID, len(k.FrozenPaths)).
			WithHint("freeze a path above them, or the key")
	}
	return func(*Outcome) {
		n := *k
		n.FrozenPaths = slices.Insert(slices.Clone(k.FrozenPaths), i, FrozenPath{slices.Clone(path), t.author.id, reason})
		t.keyChanged(&n)
	}, nil
}

func (t *task) unfreezePath(b *command.UnfreezePath) (deed, error) {
	k, ok := t.keys.get(b.Key)
	if !ok {
		return nil, errs.New(errs.NotFound, "there is no key %s", b.Key)
	}
	if err := command.CheckText("reason", b.Reason, command.MaxNote); err != nil {
		return nil, err
	}
	i, found := k.frozenAt(b.Path)
	if !found {
		return nil, errs.New(errs.BadState, "child %s of key %s is not frozen by itself", command.PathText(b.Path), k.ID).
			WithHint("vaultctl key show lists the frozen ones: each is unfrozen as it was frozen")
	}
	return func(*Outcome) {
		n, lifted := *k, k.FrozenPaths[i]
		n.FrozenPaths = slices.Delete(slices.Clone(k.FrozenPaths), i, i+1)
		t.keyChanged(&n)
		t.failOpen(func(q *Request) bool { return q.Key == k.ID && k.stoppedBy(&lifted, q) })
	}, nil
}

func (k *Key) stoppedBy(f *FrozenPath, q *Request) bool {
	paths, err := k.pathsOf(q)
	return err != nil || f.coversAny(paths)
}

func (k *Key) writeFrozenPaths(w *wire.Writer) {
	w.U8(uint8(len(k.FrozenPaths)))
	for i := range k.FrozenPaths {
		f := &k.FrozenPaths[i]
		w.Blob(command.EncodePath(f.Path))
		w.Fixed(f.By[:])
		w.String(f.Reason)
	}
}

func (k *Key) readFrozenPaths(r *wire.Reader) {
	for range r.Few(MaxFrozenPaths) {
		path, err := command.DecodePath(r.Blob(4 * command.MaxDepth))
		f := FrozenPath{Path: path, By: readFingerprint(r), Reason: r.String(command.MaxNote)}
		if n := len(k.FrozenPaths); err != nil || len(path) == 0 || n > 0 && slices.Compare(k.FrozenPaths[n-1].Path, path) >= 0 {
			r.Fail("frozen path %s of key %s: empty, unreadable or out of order", command.PathText(path), k.ID)
			return
		}
		k.FrozenPaths = append(k.FrozenPaths, f)
	}
	if len(k.FrozenPaths) == 0 {
		r.Fail("frozen paths, but none")
	}
}

// FrozenPaths returns the keys of which children are frozen, in order of id.
func (v View) FrozenPaths() (keys []*Key) {
	scanBy(v.txn(), keyTable, "paths", nil, func(k *Key) bool { keys = append(keys, k); return true })
	return keys
}
