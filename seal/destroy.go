package seal

import (
	"context"
	"errors"
	"log/slog"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// Destroy destroys the key pair with label in the token: both halves, and every copy. One
// that is not there any more is fine. It returns nil only after a new session found
// neither half while the same session found the identity key and made it sign: a token
// that is gone finds nothing either, and must not pass for one that obeyed.
func (h *HSM) Destroy(ctx context.Context, label string) error {
	if h.signer() == nil {
		return errs.New(errs.BadState, "no identity key is in use: a token that is gone could not be told from one that lacks key %q", label)
	}
	if h.inUse(label) {
		return errs.New(errs.Denied, "key %q is this region's identity or wrapping key and is not destroyed", label)
	}
	p := h.pool
	_, err := do(ctx, p, p.timeout, func(c *conn) (struct{}, error) {
		p.generating <- struct{}{} // no key of that label is made meanwhile
		defer func() { <-p.generating }()
		return struct{}{}, c.destroy(label)
	})
	if err != nil {
		return coded(err, "destroying key %q", label)
	}
	p.forget(p.generation()) // handles of the key, which a token might give to another
	_, err = do(ctx, p, p.timeout, func(c *conn) (struct{}, error) { return struct{}{}, h.absent(c, label) })
	if errors.Is(err, errStillThere) {
		return errs.New(errs.HSMFailed, "key %q is still in the token after it was destroyed", label).
			WithHint("destroy it by the vendor's own tool; while it exists, old shares can be opened with this HSM")
	}
	if err == nil {
		p.log.Info("key destroyed in the HSM", slog.String("label", label))
	}
	return coded(err, "looking for key %q after it was destroyed", label)
}

// inUse reports whether label is a key the region cannot live without.
func (h *HSM) inUse(label string) bool {
	return label == h.signer().label || label == h.wrappingKey().label
}

var errStillThere = errors.New("the key is still there")

// destroy removes private halves first: should it stop in between, nothing opens any more.
func (c *conn) destroy(label string) error {
	delete(c.objects, label)
	for _, private := range []bool{true, false} {
		objects, err := c.Find(label, private)
		for tries := 0; err == nil && len(objects) > 0 && tries < maxCopies; tries++ {
			for _, o := range objects {
				if err := c.Session.Destroy(o); err != nil {
					return err
				}
			}
			objects, err = c.Find(label, private)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// absent fails unless neither half of label is found in a token that works.
func (h *HSM) absent(c *conn, label string) error {
	for _, private := range []bool{true, false} {
		objects, err := c.Find(label, private)
		if err != nil {
			return err
		}
		if len(objects) > 0 {
			return errStillThere
		}
	}
	clear(c.objects) // the identity key is looked up anew
	return h.signer().probe(c)
}
