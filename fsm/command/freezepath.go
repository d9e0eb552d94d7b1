package command

// FreezePath stops a child of a threshold key and everything derived below it; UnfreezePath
// (two administrators) lets it sign again. The path has at least one index: the key itself
// is stopped with FreezeKey.
type (
	FreezePath struct {
		Key    KeyID
		Path   []uint32
		Reason string
	}
	UnfreezePath struct {
		Key    KeyID
		Path   []uint32
		Reason string
	}
)

// RegionFreezePath stops a child and everything below it: a region's own brake.
type RegionFreezePath struct {
	Key    KeyID
	Path   []uint32
	Reason string
}

func (*FreezePath) Type() Type       { return TypeFreezePath }
func (*UnfreezePath) Type() Type     { return TypeUnfreezePath }
func (*RegionFreezePath) Type() Type { return TypeRegionFreezePath }

func (b *FreezePath) fields(f *fields)       { f.child(&b.Key, &b.Path, &b.Reason) }
func (b *UnfreezePath) fields(f *fields)     { f.child(&b.Key, &b.Path, &b.Reason) }
func (b *RegionFreezePath) fields(f *fields) { f.child(&b.Key, &b.Path, &b.Reason) }

func (f *fields) child(key *KeyID, path *[]uint32, reason *string) {
	f.fixed("key", key[:])
	f.path("path", path)
	f.text("reason", reason, MaxNote)
	if f.decoding && f.err == nil && len(*path) == 0 {
		f.fail("path", "empty: that is the key itself")
	}
}
