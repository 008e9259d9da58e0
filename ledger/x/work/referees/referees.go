// Package referees has the referee of each kind whose disputes the ledger can decide, as
// the market's keeper knows them. A change of what one decides is a change of the network's
// rules and needs an upgrade (ledger/upgrades.go).
//
//	referees.go  Set: all of them
//	infer.go     the kind infer/1, by package exact/referee
package referees

import "github.com/cantus-network/cantus/ledger/x/work/keeper"

// Set gives a keeper all referees that this program has.
func Set(k *keeper.Keeper) {
	k.SetReferee(inferKind, inference{})
}
