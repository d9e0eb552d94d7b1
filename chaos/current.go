package chaos

import (
	"slices"
	"time"
)

// Bounds of how long a region may take to notice that it is on its own.
const (
	staleness = 5 * time.Second // after an acknowledgement, before a signing region must know of it
	alone     = 5 * time.Second // after it was cut off, before a region must have stopped signing
)

// current checks invariant 8: no region that is sealed, behind or cut off answers a read
// as current, or signs.
func current(l *ledger, f *findings) {
	reads(l.history, f)
	outlived(l, f)
	acks := l.history.acknowledged(OpSubmit)
	uses := l.uses()
	for i := range uses {
		m := &uses[i]
		k := l.keyOf(m.Label)
		if k == nil || string(m.Data) == string(l.possession(k, m.Region)) {
			continue
		}
		applied := l.hadApplied(m)
		for _, o := range acks {
			if o.Return.Before(m.Asked.Add(-staleness)) && o.Index > applied {
				f.add("region %d signed at index %d, although index %d was acknowledged %s before", m.Region, applied, o.Index, m.Asked.Sub(o.Return))
				break
			}
		}
		for _, c := range l.history.Isolations {
			if c.Region == m.Region && m.Asked.After(c.From.Add(alone)) && m.Asked.Before(c.To) {
				f.add("region %d signed %s after it was cut off from all others", m.Region, m.Asked.Sub(c.From))
			}
		}
		if boot := l.history.boot(m); boot.IsZero() {
			f.add("region %d signed before it was started", m.Region)
		} else if before := ackedBefore(acks, boot); before > applied {
			f.add("region %d signed at index %d after a restart, although index %d was acknowledged before it", m.Region, applied, before)
		}
	}
}

// boot returns when the life began in which a signature was made.
func (h *History) boot(m *Made) (at time.Time) {
	for _, b := range h.Boots {
		if b.Region == m.Region && !b.At.After(m.Asked) && b.At.After(at) {
			at = b.At
		}
	}
	return at
}

func ackedBefore(acks []*Op, t time.Time) (index uint64) {
	for _, o := range acks {
		if !o.Return.Before(t) {
			break
		}
		index = max(index, o.Index)
	}
	return index
}

// reads holds every list of tenants against what was acknowledged before it was asked for,
// and against the lists that were returned before it was asked for. The set only grows, so
// nothing more is needed for it to be linearizable.
func reads(h *History, f *findings) {
	var adds []*Op
	invoked := map[string]time.Time{}
	for i := range h.Ops {
		o := &h.Ops[i]
		if o.Adds == "" {
			continue
		}
		if at, known := invoked[o.Adds]; !known || o.Call.Before(at) {
			invoked[o.Adds] = o.Call
		}
		if o.OK() {
			adds = append(adds, o)
		}
	}
	list := h.acknowledged(OpRead)
	for i, r := range list {
		for _, a := range adds {
			if a.Return.Before(r.Call) && !slices.Contains(r.Tenants, a.Adds) {
				f.add("region %d answered a read %s after tenant %s was acknowledged, without it", r.Region, r.Call.Sub(a.Return), a.Adds)
			}
		}
		for _, t := range r.Tenants {
			if at, known := invoked[t]; known && !at.Before(r.Return) {
				f.add("region %d showed tenant %s before anybody asked for it", r.Region, t)
			}
		}
		for _, before := range list[:i] {
			if before.Return.Before(r.Call) && len(before.Tenants) > len(r.Tenants) {
				f.add("region %d showed %d tenants after region %d had shown %d", r.Region, len(r.Tenants), before.Region, len(before.Tenants))
				break
			}
		}
	}
}
