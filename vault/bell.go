package vault

// bell wakes one goroutine: rung once or often before it is heard is the same.
type bell chan struct{}

func newBell() bell { return make(bell, 1) }

// ring never waits.
func (b bell) ring() {
	select {
	case b <- struct{}{}:
	default:
	}
}
