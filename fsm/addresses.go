package fsm

import (
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/audit"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/wire"
)

// Given is which children of a key were given out: of each branch those below its mark, a few
// of which may have been passed over. Immutable.
type Given struct {
	Self     bool     // the key itself
	Branches []Branch // ascending by path
}

// Branch is the children with one parent.
type Branch struct {
	Path []uint32 // of the parent; empty: the key itself
	Next uint32   // index of the first child that was never given out nor passed over; not 0
}

const maxIndex = 1<<31 - 1 // of a child

func (g *Given) empty() bool { return !g.Self && len(g.Branches) == 0 }

func (g *Given) find(path []uint32) (int, bool) {
	return slices.BinarySearchFunc(g.Branches, path, func(b Branch, path []uint32) int { return slices.Compare(b.Path, path) })
}

// given returns the marks of a key. Releases before them only counted, and gave out m/0/N with
// N the count: so far the branch m/0 of such a key may be used up.
func (k *Key) given() Given {
	if k.Given.empty() && k.Issued > 0 {
		return Given{Branches: []Branch{{[]uint32{0}, uint32(min(k.Issued, maxIndex+1))}}}
	}
	return k.Given
}

// Branches returns the branches from which addresses of the key were given out.
func (k *Key) Branches() []Branch { return k.given().Branches }

// Next returns the first index of a branch that is free to be given out.
func (k *Key) Next(branch []uint32) uint32 {
	g := k.given()
	if i, ok := g.find(branch); ok {
		return g.Branches[i].Next
	}
	return 0
}

// with returns marks in which a branch's is at least next.
func (g Given) with(branch []uint32, next uint32) Given {
	i, ok := g.find(branch)
	g.Branches = slices.Clone(g.Branches)
	if !ok {
		g.Branches = slices.Insert(g.Branches, i, Branch{slices.Clone(branch), next})
	}
	g.Branches[i].Next = max(g.Branches[i].Next, next)
	return g
}

// issuable returns a key of which the author may give out addresses.
func (t *task) issuable(id command.KeyID, note string) (*Key, error) {
	k, ok := t.keys.get(id)
	if !ok || t.principal.Tenant != "" && t.principal.Tenant != k.Tenant {
		return nil, errs.New(errs.NotFound, "there is no key %s", id)
	}
	if t.principal.Roles&(command.RoleAdmin|command.RoleOperator|command.RoleSigner) == 0 {
		return nil, t.denied()
	}
	if err := command.CheckText("note", note, command.MaxNote); err != nil {
		return nil, err
	}
	if k.Scheme != command.SchemeThreshold || k.State != KeyActive && k.State != KeyFrozen {
		return nil, errs.New(errs.BadState, "key %s has no addresses to issue: it is a %s key, %s", k.ID, k.Scheme, k.State)
	}
	return k, nil
}

// nextAddresses gives out the next children of a branch in a row.
func (t *task) nextAddresses(b *command.NextAddresses) (deed, error) {
	k, err := t.issuable(b.Key, b.Note)
	if err != nil {
		return nil, err
	}
	first := k.room(b.Branch, b.Count)
	if first > maxIndex+1-b.Count {
		return nil, errs.New(errs.BadState, "branch %s of key %s has no %d addresses left", command.PathText(b.Branch), k.ID, b.Count).
			WithHint("name another branch")
	}
	next := first + b.Count
	if err := k.mayGive(b.Branch, next-1); err != nil {
		return nil, err
	}
	given, err := k.marked(k.given(), b.Branch, next)
	if err != nil {
		return nil, err
	}
	return func(o *Outcome) {
		t.give(k, given, b.Count)
		o.Next = next
		t.effect.Given = &audit.GivenAddresses{Key: k.ID, Branch: b.Branch, First: first, Count: b.Count}
	}, nil
}

// room returns where the next row of so many children of a branch begins: at the mark, or
// behind the last frozen child in its way. A freeze of one address does not stop the branch.
func (k *Key) room(branch []uint32, count uint32) uint32 {
	first, depth := k.Next(branch), len(branch)
	for i := range k.FrozenPaths { // ascending
		p := k.FrozenPaths[i].Path
		if len(p) == depth+1 && slices.Equal(p[:depth], branch) && p[depth] >= first && p[depth]-first < count {
			first = p[depth] + 1
		}
	}
	return first
}

// mayGive judges a row by its last child, as templates bound indices from above alone; of
// freezes that of the branch, or above it, is left.
func (k *Key) mayGive(branch []uint32, last uint32) error {
	if err := k.Asset.Check(append(slices.Clone(branch), last)); err != nil {
		return err
	}
	if f := k.frozenOver(branch); f != nil {
		return f
	}
	return nil
}

// marked moves a branch's mark up to next, if there is room for one.
func (k *Key) marked(g Given, branch []uint32, next uint32) (Given, error) {
	g = g.with(branch, next)
	if len(g.Branches) > MaxBranches {
		return g, errs.New(errs.TooLarge, "addresses of %d branches of key %s were given out, the most there may be", MaxBranches, k.ID).
			WithHint("give out further ones of these branches; vaultctl key show lists them")
	}
	return g, nil
}

func (t *task) give(k *Key, given Given, count uint32) {
	n := *k
	n.Issued += uint64(count)
	n.Given = given
	t.putKey(&n)
}

// issueAddresses gives out the children a command names: which ones stands in it, and so in
// the audit.
func (t *task) issueAddresses(b *command.IssueAddresses) (deed, error) {
	k, err := t.issuable(b.Key, b.Note)
	if err != nil {
		return nil, err
	}
	if len(b.Paths) == 0 {
		return nil, errs.New(errs.Invalid, "no path is named")
	}
	seen, given := map[string]bool{}, k.given()
	for _, p := range b.Paths {
		path, err := command.DecodePath(p)
		if err == nil {
			err = k.mayIssue(path, b.Again)
		}
		if err != nil {
			return nil, err
		}
		if seen[string(p)] {
			return nil, errs.New(errs.Invalid, "a path is named twice")
		}
		seen[string(p)] = true
		if len(path) == 0 {
			given.Self = true
		} else if given, err = k.marked(given, path[:len(path)-1], path[len(path)-1]+1); err != nil {
			return nil, err
		}
	}
	return func(*Outcome) { t.give(k, given, uint32(len(b.Paths))) }, nil
}

// mayIssue judges one child that a command names. What lies below the mark was given out, or
// passed over when a higher one was named: nobody can tell which, so who means it says so.
func (k *Key) mayIssue(path []uint32, again bool) error {
	if err := k.Asset.Check(path); err != nil {
		return err
	}
	if f := k.frozenOver(path); f != nil {
		return f
	}
	if len(path) == 0 {
		if k.given().Self && !again {
			return errs.New(errs.Exists, "m of key %s was given out", k.ID).WithHint("--again gives it out once more")
		}
		return nil
	}
	next, i := k.Next(path[:len(path)-1]), path[len(path)-1]
	switch {
	case i < next && !again:
		return errs.New(errs.Exists, "%s of key %s was given out or passed over: the next of its branch is index %d", command.PathText(path), k.ID, next).
			WithHint("without --path the next one is given out; --again gives out this one once more")
	case k.Asset != 0 && i > next && i-next > MaxSkip:
		return errs.New(errs.Invalid, "%s of key %s would pass over %d addresses, at most %d", command.PathText(path), k.ID, i-next, MaxSkip).
			WithHint("the next of its branch is index %d: what is passed over is never given out by itself", next)
	}
	return nil
}

func (g *Given) write(w *wire.Writer) {
	w.Bool(g.Self)
	w.U16(uint16(len(g.Branches)))
	for i := range g.Branches {
		w.Blob(command.EncodePath(g.Branches[i].Path))
		w.U32(g.Branches[i].Next)
	}
}

func (k *Key) readGiven(r *wire.Reader) {
	g := &k.Given
	g.Self = r.Bool()
	n := int(r.U16())
	if n > MaxBranches {
		r.Fail("%d branches, limit %d", n, MaxBranches)
	}
	for i := 0; i < n && r.Err() == nil; i++ {
		path, err := command.DecodePath(r.Blob(4 * (command.MaxDepth - 1)))
		b := Branch{Path: path, Next: r.U32()}
		if err != nil || b.Next == 0 || b.Next > maxIndex+1 || i > 0 && slices.Compare(g.Branches[i-1].Path, path) >= 0 {
			r.Fail("branch %s of key %s: unreadable, out of order, or with the mark at %d", command.PathText(path), k.ID, b.Next)
		}
		g.Branches = append(g.Branches, b)
	}
	if g.empty() || k.Scheme != command.SchemeThreshold {
		r.Fail("addresses given out, but none, or of a %s key", k.Scheme)
	}
}

func (k *Key) readAsset(r *wire.Reader) {
	k.Asset = command.Asset(r.U8())
	if t := k.Asset.Template(); t == nil || k.Scheme != command.SchemeThreshold || k.Curve != t.Curve {
		r.Fail("asset class %d of a %s key on %s", k.Asset, k.Scheme, k.Curve)
	}
}
