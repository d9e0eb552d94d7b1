package auditor

import (
	"slices"

	"github.com/tetrad-vault/tetrad/fsm/command"
)

// freezes notes which children of keys a command that was carried out froze or let go.
func (b *books) freezes(body command.Body) {
	switch c := body.(type) {
	case *command.FreezePath:
		b.freezeChild(c.Key, c.Path)
	case *command.RegionFreezePath:
		b.freezeChild(c.Key, c.Path)
	case *command.UnfreezePath:
		b.children[c.Key] = slices.DeleteFunc(b.children[c.Key], func(p []uint32) bool { return slices.Equal(p, c.Path) })
	}
}

func (b *books) freezeChild(key command.KeyID, path []uint32) {
	if !slices.ContainsFunc(b.children[key], func(p []uint32) bool { return slices.Equal(p, path) }) {
		b.children[key] = append(b.children[key], path)
	}
}

// frozenChild returns the frozen child, if any, under which a request would sign.
func (b *books) frozenChild(q *request) ([]uint32, bool) {
	for _, p := range b.children[q.key] {
		for i := range q.spends {
			if at := q.spends[i].Path; len(at) >= len(p) && slices.Equal(at[:len(p)], p) {
				return p, true
			}
		}
	}
	return nil, false
}
