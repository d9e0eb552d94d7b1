package fsm_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/tetrad-vault/tetrad/fsm"
	"github.com/tetrad-vault/tetrad/fsm/command"
	"github.com/tetrad-vault/tetrad/fsm/fsmtest"
	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/race"
)

// varied returns a log whose state has rows in every table.
func varied(t testing.TB) *fsmtest.Log {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	for i := range 3 {
		id := l.Must(l.By(signer, fsmtest.Digest(key, [32]byte{byte(i)}))).Request
		if i == 0 {
			l.Apply(l.Completion(l.Region(1), [32]byte{1}, ids(2, 3), id))
		}
	}
	l.Do(l.By(signer, fsmtest.Digest(command.KeyID{}, [32]byte{})))
	l.Must(l.By(l.Admins[0], &command.FreezeVault{Reason: "drill"}))
	return l
}

// variedThreshold is varied with threshold keys in every state.
func variedThreshold(t testing.TB) *fsmtest.Log {
	l := varied(t)
	l.Must(l.Dual(&command.UnfreezeVault{}))
	signer := l.Signer("principal acme/service")
	first := l.ThresholdKey("acme", "cold", command.Ed25519, 2)
	other := l.ThresholdKey("acme", "warm", command.Secp256k1, 3)
	l.FillPools(command.Ed25519, 4)
	request := fsmtest.Message(first, "pay")
	request.Path = []uint32{0, 7}
	done, open := l.Must(l.By(signer, request)).Request, l.Must(l.By(signer, request)).Request
	l.Must(next(l, 1, open, 2, refusal(l, 2, open, 1)))
	l.Apply(l.Shares(l.Region(2), [32]byte{9}, ids(3, 1), done))
	l.Must(l.By(signer, &command.IssueAddresses{Key: first, Paths: [][]byte{command.EncodePath([]uint32{1})}}))
	l.Must(l.By(signer, &command.NextAddresses{Key: first, Branch: []uint32{0}, Count: 3}))
	l.Must(l.By(signer, &command.IssueAddresses{Key: first, Paths: [][]byte{nil, command.EncodePath([]uint32{1})}, Again: true}))
	failed := l.Must(l.By(l.Admins[0], &command.CreateKey{Name: "failed", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2})).Key
	for range fsm.MaxTries {
		l.Must(l.By(l.Region(1).Session, l.Said(l.Region(1), failed)))
		later(l, fsm.StepTime)
	}
	// Under way: at their dealings with an accusation, at their finish, and waiting.
	l.Must(l.Dual(&command.RefreshKey{Key: other}))
	l.Hold(other)
	dealt := l.Must(l.By(l.Admins[0], &command.CreateKey{Name: "dealt", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2})).Key
	finishing := l.Must(l.By(l.Admins[0], &command.CreateKey{Name: "finishing", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2, Regions: ids(1, 2, 3)})).Key
	for i, id := range []command.KeyID{dealt, finishing, finishing, finishing} {
		for _, r := range ids(1, 2, 3, 4)[:4-min(i, 1)] {
			l.Must(l.By(l.Region(r).Session, l.Said(l.Region(r), id)))
		}
	}
	say(l, 1, dealt)
	say(l, 2, finishing)
	k, _ := l.Machine.View().Key(dealt)
	l.Must(l.By(l.Region(2).Session, &command.AccuseDealer{Ceremony: k.Ceremony.ID, Against: 1, Complaint: []byte{1}, Note: "its dealing"}))
	l.Must(l.Dual(&command.CreateKey{Name: "paths", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Secp256k1, Signers: 2, Fallback: outsiders(2, 4), Asset: command.AssetBitcoin}))
	given := l.Must(l.By(l.Admins[0], &command.CreateKey{Name: "given-up", Tenant: "acme", Scheme: command.SchemeThreshold, Curve: command.Ed25519, Signers: 2})).Key
	l.Must(l.Dual(&command.RetireKey{Key: given}))
	l.Must(l.Dual(&command.RefreshKey{}))
	l.Must(l.OfferWrap(l.Region(2), 3))
	return l
}

// variedBeacon is a vault whose beacon was refreshed, with a draw open under the shares of
// the genesis: both sharings are there.
func variedBeacon(t testing.TB) *fsmtest.Log {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	l.Must(l.By(signer, fsmtest.Digest(key, [32]byte{1})))
	l.Must(l.Dual(&command.RefreshKey{Key: command.BeaconKey}))
	l.Hold(command.BeaconKey)
	later(l, fsm.RetireTime)
	if k := l.Machine.View().BeaconKey(); k.Retiring == nil || k.Since == 0 {
		t.Fatalf("%+v", k)
	}
	return l
}

// variedReenrol is a vault with two regions that have another HSM, one of them not there yet,
// the other of a later level's release: with lost attestations and shares.
func variedReenrol(t testing.TB) *fsmtest.Log {
	l, _, key := fsmtest.New().ReadyThreshold(fsm.Options{})
	away(l, 3)
	l.Reenrol(l.Region(3))
	l.Must(l.By(l.Region(3).Identity, &command.RegisterSession{Cert: l.Region(3).Session.Cert.Encode(), Curves: []byte{3}, Level: 2}))
	l.Must(l.Dual(&command.RefreshKey{Key: command.BeaconKey}))
	l.Hold(command.BeaconKey)
	later(l, fsm.ReenrolTime)
	away(l, 2)
	l.Reenrol(l.Region(2))
	l.Reenrol(l.Region(2))
	if k, _ := l.Machine.View().Key(key); !slices.Equal(k.Sharing.Holders(), ids(1, 4)) {
		t.Fatalf("%+v", k.Sharing)
	}
	return l
}

// everything is states that together have every kind of row there is.
func everything(t testing.TB) []*fsmtest.Log {
	return []*fsmtest.Log{varied(t), variedThreshold(t), variedLimit(t), variedSchedule(t), variedImport(t), variedBeacon(t), variedReenrol(t)}
}

func written(t testing.TB, m *fsm.Machine) []byte {
	t.Helper()
	var buf bytes.Buffer
	if _, err := m.Snapshot().WriteTo(&buf); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestSnapshotIsCanonical(t *testing.T) {
	for _, l := range everything(t) {
		canonical(t, l)
	}
}

func canonical(t *testing.T, l *fsmtest.Log) {
	t.Helper()
	b := written(t, l.Machine)
	if !bytes.Equal(b, written(t, l.Machine)) {
		t.Fatal("two snapshots of one state differ")
	}
	if got := sha256.Sum256(b[:len(b)-37]); got != l.Machine.View().Digest() {
		t.Fatal("the digest is not the checksum of the snapshot")
	}
	m, err := fsm.New(l.Genesis, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Restore(bytes.NewReader(b)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b, written(t, m)) {
		t.Fatal("a restored state is written differently")
	}
}

// TestSnapshotIsOfItsMoment: what is applied after taking it does not show.
func TestSnapshotIsOfItsMoment(t *testing.T) {
	l := varied(t)
	s, v := l.Machine.Snapshot(), l.Machine.View()
	want := written(t, l.Machine)
	l.Must(l.Dual(&command.CreateTenant{Name: "later"}))
	var got bytes.Buffer
	if _, err := s.WriteTo(&got); err != nil || !bytes.Equal(want, got.Bytes()) {
		t.Fatal("the snapshot moved on", err)
	}
	if len(v.Tenants()) != 1 || len(l.Machine.View().Tenants()) != 2 || s.Meta() != v.Meta() {
		t.Fatal("the view moved on")
	}
}

func TestDamagedSnapshots(t *testing.T) {
	for _, l := range everything(t) {
		damaged(t, l)
	}
}

func damaged(t *testing.T, l *fsmtest.Log) {
	t.Helper()
	good := written(t, l.Machine)
	step := 7 * (1 + len(good)/(8<<10))
	if race.On {
		step *= 3
	}
	m, err := fsm.New(l.Genesis, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	before := m.View().Digest()
	check := func(what string, b []byte, code errs.Code) {
		t.Helper()
		if err := m.Restore(bytes.NewReader(b)); errs.CodeOf(err) != code {
			t.Fatalf("%s: %v, want %s", what, err, code)
		}
		if m.View().Digest() != before {
			t.Fatalf("%s: a failed restore changed the state", what)
		}
	}
	for i := 0; i < len(good); i += step {
		check("cut", good[:i], errs.Corrupt)
		flipped := bytes.Clone(good)
		flipped[i] ^= 0x40
		code := errs.Corrupt
		if i >= 10 && i < 42 {
			code = errs.Stale // the lineage
		}
		check("flipped", flipped, code)
	}
	check("trailing", append(bytes.Clone(good), 0), errs.Corrupt)
	other, err := fsm.New(fsmtest.NewSeeded("other").Genesis, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	check("another cluster's", written(t, other), errs.Stale)
	if err := m.Restore(bytes.NewReader(good)); err != nil {
		t.Fatal(err)
	}
}

// TestInconsistentSnapshots: a right checksum over a wrong state does not help.
func TestInconsistentSnapshots(t *testing.T) {
	for _, l := range everything(t) {
		inconsistent(t, l)
	}
}

func inconsistent(t *testing.T, l *fsmtest.Log) {
	t.Helper()
	good := written(t, l.Machine)
	type record struct{ tag, body []byte }
	var records []record
	for b := good[42:]; len(b) > 0; {
		n := 5 + int(binary.BigEndian.Uint32(b[1:]))
		records = append(records, record{b[:1], b[5:n]})
		b = b[n:]
	}
	build := func(rs []record) []byte {
		b := bytes.Clone(good[:42])
		for _, r := range rs {
			b = append(b, r.tag...)
			b = binary.BigEndian.AppendUint32(b, uint32(len(r.body)))
			b = append(b, r.body...)
		}
		sum := sha256.Sum256(b)
		return append(append(b, 255, 0, 0, 0, 32), sum[:]...)
	}
	records = records[:len(records)-1]
	if !bytes.Equal(build(records), good) {
		t.Fatal("the test does not rebuild the snapshot")
	}
	m, err := fsm.New(l.Genesis, fsm.Options{})
	if err != nil {
		t.Fatal(err)
	}
	tried := 0
	for i, r := range records {
		without := append(append([]record{}, records[:i]...), records[i+1:]...)
		twice := append(append([]record{}, records[:i+1]...), records[i:]...)
		if err := m.Restore(bytes.NewReader(build(twice))); errs.CodeOf(err) != errs.Corrupt {
			t.Fatalf("record %d of tag %d twice: %v", i, r.tag[0], err)
		}
		switch r.tag[0] {
		case 1, 2, 6, 7, 8, 9, 10, 42: // head, regions, what buckets and rows owe each other, what shares lie under, a schedule that is set
			tried++
			if err := m.Restore(bytes.NewReader(build(without))); errs.CodeOf(err) != errs.Corrupt {
				t.Fatalf("without record %d of tag %d: %v", i, r.tag[0], err)
			}
		}
	}
	if tried < 10 {
		t.Fatalf("only %d records left out", tried)
	}
	records[0], records[1] = records[1], records[0]
	if err := m.Restore(bytes.NewReader(build(records))); errs.CodeOf(err) != errs.Corrupt {
		t.Fatal("records out of order", err)
	}
}

type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	if f.room -= len(b); f.room < 0 {
		return 0, errors.New("no space")
	}
	return len(b), nil
}

func TestSnapshotToFullDisk(t *testing.T) {
	l := varied(t)
	if _, err := l.Machine.Snapshot().WriteTo(&full{100}); errs.CodeOf(err) != errs.DiskFailed {
		t.Fatal(err)
	}
}

func TestViewPages(t *testing.T) {
	l, signer, key := fsmtest.New().Ready(fsm.Options{})
	n := 23
	for i := range n {
		id := opened(t, l, signer, key)
		if i%2 == 0 {
			l.Apply(l.Completion(l.Region(1), [32]byte{1}, ids(2, 3), id))
		}
	}
	v := l.Machine.View()
	var after command.RequestID
	seen := 0
	for {
		page := v.Requests("acme", after, 5)
		if len(page) == 0 {
			break
		}
		for _, q := range page {
			if bytes.Compare(q.ID[:], after[:]) <= 0 {
				t.Fatal("pages overlap or are out of order")
			}
			after = q.ID
			seen++
		}
	}
	if seen != n || len(v.Requests("other", command.RequestID{}, 100)) != 0 || len(v.OpenRequests()) != n/2 {
		t.Fatalf("%d of %d requests seen", seen, n)
	}
	if v.ClusterName() != "testvault" || v.Cluster() != l.Cluster() || v.Lineage() != l.Genesis.Document.Hash() ||
		v.Meta().Index != uint64(len(l.Inputs)) || !v.Clock().Equal(l.Now.Truncate(time.Millisecond)) ||
		v.Settings() != l.Genesis.Document.Settings || v.Beacon().Threshold != 3 || len(v.Regions()) != 4 || len(v.Principals()) != 3 {
		t.Fatal("the view does not show the state")
	}
}
