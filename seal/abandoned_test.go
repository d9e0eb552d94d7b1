package seal_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tetrad-vault/tetrad/internal/errs"
	"github.com/tetrad-vault/tetrad/seal"
	"github.com/tetrad-vault/tetrad/seal/sealtest"
)

// A token that hangs while a key is looked up and then comes back must not sign for an
// asker who is long gone.
func TestNobodyWaitsNothingIsSigned(t *testing.T) {
	inBubble(t, sealtest.Options{}, func(t *testing.T, dev *sealtest.Device, h *seal.HSM) {
		late := 0
		gaveUp := time.Now().Add(300 * time.Millisecond)
		dev.Watch(func(s sealtest.Signature) {
			if s.Label == "k" && s.Asked.After(gaveUp) {
				late++
			}
		})
		release := dev.Hang()
		ctx, cancel := context.WithDeadline(t.Context(), gaveUp)
		defer cancel()
		for range 2 { // one hangs in its signature, one before it
			go func() { wantCode(t, sign(ctx, h), errs.HSMTimeout) }()
		}
		time.Sleep(time.Minute)
		release()
		synctest.Wait()
		if late != 0 {
			t.Errorf("%d signatures begun for nobody", late)
		}
	})
}
