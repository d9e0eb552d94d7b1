package vault

import (
	"errors"

	"golang.org/x/sys/unix"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// arena is memory outside Go's heap for secrets of one size: locked against swap, left out
// of core dumps, and wiped slot by slot. It is not safe for concurrent use.
type arena struct {
	mem    []byte
	size   int // of a slot
	free   []int
	locked error // why it could not be locked; nil
}

// newArena maps memory for slots secrets of size bytes. That it cannot be locked is no
// error: see locked.
func newArena(slots, size int) (*arena, error) {
	page := unix.Getpagesize()
	n := (slots*size + page - 1) / page * page
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, errs.Wrap(errs.Internal, err, "mapping %d bytes for secrets", n)
	}
	a := &arena{mem: mem, size: size, free: make([]int, slots)}
	a.locked = errors.Join(unix.Mlock(mem), unix.Madvise(mem, unix.MADV_DONTDUMP))
	for i := range a.free {
		a.free[i] = slots - 1 - i
	}
	return a, nil
}

// put copies secret, of at most size bytes, into a free slot; false if there is none.
func (a *arena) put(secret []byte) (slot int, ok bool) {
	if len(secret) > a.size {
		return 0, false
	}
	if slot, ok = a.take(); ok {
		copy(a.at(slot), secret)
	}
	return slot, ok
}

// take gives away a slot, all zero; false if there is none.
func (a *arena) take() (slot int, ok bool) {
	if len(a.free) == 0 {
		return 0, false
	}
	slot = a.free[len(a.free)-1]
	a.free = a.free[:len(a.free)-1]
	return slot, true
}

// at is a slot's memory, which is the arena's.
func (a *arena) at(slot int) []byte { return a.mem[slot*a.size : (slot+1)*a.size : (slot+1)*a.size] }

// drop wipes a slot and frees it.
func (a *arena) drop(slot int) {
	clear(a.at(slot))
	a.free = append(a.free, slot)
}

// close wipes everything and gives the memory back.
func (a *arena) close() error {
	clear(a.mem)
	mem := a.mem
	a.mem, a.free = nil, nil
	return unix.Munmap(mem)
}
