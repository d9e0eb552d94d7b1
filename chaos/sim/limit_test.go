package sim

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/cluster"
	"github.com/tetrad-vault/tetrad/fsm"
)

// forgetful is a state machine that forgets, every now and then, at every region at the
// same place, what a limited key was charged: as if a restore did not bring it back.
type forgetful struct {
	cluster.Machine
	t testing.TB
}

func (m forgetful) Apply(batch []fsm.Input) (out [][]fsm.Outcome) {
	for _, in := range batch {
		out = append(out, m.Machine.Apply([]fsm.Input{in})...)
		if in.Meta.Index%8 == 0 {
			m.forget()
		}
	}
	return out
}

// forget restores a snapshot in which every charge is half a century old.
func (m forgetful) forget() {
	var b bytes.Buffer
	s, err := m.Snapshot()
	if err == nil {
		_, err = s.WriteTo(&b)
	}
	if err != nil {
		m.t.Error(err)
		return
	}
	const checksum = 37 // the last record
	body := b.Bytes()[:b.Len()-checksum]
	limit := binary.BigEndian.AppendUint32(nil, limitRequests)
	limit = binary.BigEndian.AppendUint64(limit, uint64(limitWindow.Milliseconds()))
	at := bytes.Index(body, limit)
	if at < 0 {
		return
	}
	slots := body[at+len(limit)+8:]
	for i := range int(slots[0]) {
		binary.BigEndian.PutUint64(slots[1+12*i:], uint64(i+1))
	}
	sum := sha256.Sum256(body)
	copy(b.Bytes()[b.Len()-len(sum):], sum[:])
	if err := m.Restore(&b); err != nil {
		m.t.Error(err)
	}
}

// TestPlantedForgottenCharges: invariant 7. Charges are lost.
func TestPlantedForgottenCharges(t *testing.T) {
	unraced(t)
	expect(t, 7, quiet(30*time.Second), Options{NoAdmin: true, Machine: func(_ int, m cluster.Machine) cluster.Machine { return forgetful{m, t} }})
}
