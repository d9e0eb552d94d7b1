package intenttest

import (
	"encoding/binary"

	"github.com/tetrad-vault/tetrad/fsm/intent/solana"
)

// SolanaTransfer returns a message of version solana.Legacy or solana.V0 in which key, who
// alone signs, pays lamports. The payee of a legacy message is the made-up address that ends
// with 5; that of version 0 stands at place 5 of a made-up lookup table.
func SolanaTransfer(version int, key solana.Address, lamports uint64) []byte {
	named := []solana.Address{key, {31: 5}, solana.System}
	call := []byte{1, 2, 2, 0, 1} // one instruction: of account 2, with 0 and 1
	var prefix, lookups []byte
	if version == solana.V0 {
		named = []solana.Address{key, solana.System}
		call = []byte{1, 1, 2, 0, 2} // looked-up accounts come after the named ones
		table := seeded(0, "lookup table")
		prefix = []byte{0x80}
		lookups = append(append([]byte{1}, table[:]...), 1, 5, 0) // place 5, writable
	}
	b := append(prefix, 1, 0, 1, byte(len(named)))
	for _, a := range named {
		b = append(b, a[:]...)
	}
	b = append(b, make([]byte, 32)...) // blockhash
	b = append(append(b, call...), 12, 2, 0, 0, 0)
	return append(binary.LittleEndian.AppendUint64(b, lamports), lookups...)
}
