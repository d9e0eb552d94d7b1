package seal

import (
	"errors"

	"github.com/tetrad-vault/tetrad/internal/errs"
)

// key finds the private key with label, once per session.
func (c *conn) key(label string) (found, error) {
	if f, ok := c.objects[label]; ok {
		return f, nil
	}
	o, err := c.one(label, true)
	if err != nil {
		return found{}, err
	}
	attrs, err := c.Attributes(o)
	if err != nil {
		return found{}, err
	}
	if len(c.objects) >= maxHandles {
		clear(c.objects)
	}
	f := found{o, attrs}
	c.objects[label] = f
	return f, nil
}

// errNoKey climbs the ladder, because a lost token also finds nothing.
var errNoKey = errors.New("no such key in the token")

func (c *conn) one(label string, private bool) (Object, error) {
	objects, err := c.Find(label, private)
	switch {
	case err != nil:
		return 0, err
	case len(objects) == 0:
		return 0, &TokenError{Fault: FaultToken, Op: "find " + label, Err: errNoKey}
	case len(objects) > 1:
		return 0, errs.New(errs.Corrupt, "token holds %d keys labelled %q", len(objects), label).
			WithHint("remove the copy that was never attested")
	}
	return objects[0], nil
}
