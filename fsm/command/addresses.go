package command

// IssueAddresses gives out the children of a threshold key that it names. Of each branch, the
// children with one parent, those below the first that was never given out are taken; who
// wants one of them shown as given out once more says so.
type IssueAddresses struct {
	Key   KeyID
	Paths [][]byte // EncodePath's form
	Note  string
	Again bool // paths that were given out before, or passed over, are meant. Absent in older commands
}

// NextAddresses gives out the next children of a branch. Which ones, Apply says: two askers at
// once never get the same.
type NextAddresses struct {
	Key    KeyID
	Branch []uint32 // whose children; empty: the key's own
	Count  uint32   // 1 to MaxAddresses, one after the other
	Note   string
}

func (*IssueAddresses) Type() Type { return TypeIssueAddresses }
func (*NextAddresses) Type() Type  { return TypeNextAddresses }

func (b *IssueAddresses) fields(f *fields) {
	f.fixed("key", b.Key[:])
	f.list("paths", &b.Paths, MaxAddresses, 4*MaxDepth)
	f.text("note", &b.Note, MaxNote)
	if !f.absent("again", !b.Again) {
		f.flag("again", &b.Again)
		if f.decoding && f.err == nil && !b.Again {
			f.fail("again", "there, but zero")
		}
	}
}

func (b *NextAddresses) fields(f *fields) {
	f.fixed("key", b.Key[:])
	f.path("branch", &b.Branch)
	f.u32("count", &b.Count)
	f.text("note", &b.Note, MaxNote)
	if f.decoding && f.err == nil && (len(b.Branch) == MaxDepth || b.Count == 0 || b.Count > MaxAddresses) {
		f.fail("count", "%d addresses %d levels down, want 1 to %d, at most %d", b.Count, len(b.Branch)+1, MaxAddresses, MaxDepth)
	}
}

// Given returns the paths of what NextAddresses gave out; next is its outcome's: the index
// after the last of them. Nil if they cannot be, whoever said so.
func (b *NextAddresses) Given(next uint32) (paths [][]uint32) {
	if next < b.Count || next > lastIndex+1 {
		return nil
	}
	for i := next - b.Count; i < next; i++ {
		paths = append(paths, append(b.Branch[:len(b.Branch):len(b.Branch)], i))
	}
	return paths
}
