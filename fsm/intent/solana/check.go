package solana

import "github.com/tetrad-vault/tetrad/internal/errs"

// check holds a message against the rules of its form. A node refuses what breaks them, so
// a signature would be wasted at best.
func (m *Message) check() error {
	switch {
	case m.Signers == 0:
		return rejected("nobody signs it")
	case m.readonlySigned >= m.Signers:
		return rejected("%d of %d signers are read-only, the fee payer must be writable", m.readonlySigned, m.Signers)
	case m.Signers+m.readonlyUnsigned > m.named:
		return rejected("%d signers and %d read-only accounts do not fit in %d accounts", m.Signers, m.readonlyUnsigned, m.named)
	case len(m.Accounts) > maxAccounts:
		return rejected("%d accounts, at most %d", len(m.Accounts), maxAccounts)
	case m.size() > maxTransaction:
		return errs.New(errs.TooLarge, "solana transaction of %d bytes with its %d signatures, at most %d", m.size(), m.Signers, maxTransaction)
	}
	if err := m.checkAccounts(); err != nil {
		return err
	}
	return m.checkInstructions()
}

// checkAccounts refuses an account that stands twice: with two sets of rights, an approver
// could look at the wrong one.
func (m *Message) checkAccounts() error {
	seen := map[Address]int{}
	for i, a := range m.Accounts[:m.named] {
		if j, ok := seen[a.Address]; ok {
			return rejected("accounts %d and %d are both %s", j, i, a.Address)
		}
		seen[a.Address] = i
	}
	tables := map[Address]bool{}
	for _, l := range m.Lookups {
		switch {
		case tables[l.Table]:
			return rejected("lookup table %s stands twice", l.Table)
		case len(l.Writable)+len(l.Readonly) == 0:
			return rejected("nothing is taken from lookup table %s", l.Table)
		}
		tables[l.Table] = true
	}
	type place struct {
		table Address
		place uint8
	}
	taken := map[place]bool{}
	for _, a := range m.Accounts[m.named:] {
		p := place{*a.Table, a.Place}
		if taken[p] {
			return rejected("place %d of lookup table %s is taken twice", a.Place, a.Table)
		}
		taken[p] = true
	}
	return nil
}

func (m *Message) checkInstructions() error {
	for i, in := range m.Instructions {
		switch p := int(in.Program); {
		case p == 0:
			return rejected("instruction %d calls the fee payer as a program", i)
		case p >= m.named:
			return rejected("instruction %d calls account %d, the message names %d", i, p, m.named)
		}
		for _, a := range in.Accounts {
			if int(a) >= len(m.Accounts) {
				return rejected("instruction %d uses account %d of %d", i, a, len(m.Accounts))
			}
		}
	}
	return nil
}
