package rpc_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/internal/identity"
	"github.com/tetrad-vault/tetrad/internal/rpc"
)

// mute is a region that takes every call and never answers.
type mute struct{ grpc.ClientConnInterface }

func (m mute) Conn(identity.RegionID) (grpc.ClientConnInterface, error) { return m, nil }

func (mute) NewStream(ctx context.Context, _ *grpc.StreamDesc, _ string, _ ...grpc.CallOption) (grpc.ClientStream, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestMuteRegionEndsNoRepair(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		_, err := rpc.LeafSource{Peers: rpc.NewPeers(mute{}), Region: 2}.Leaves(t.Context(), 0, 10)
		if errs.CodeOf(err) != errs.DeadlineExceeded || time.Since(start) > time.Minute {
			t.Errorf("after %s: %v", time.Since(start), err)
		}
	})
}
