package types

import "cosmossdk.io/collections"

const (
	// ModuleName names the module, its store and its account. The account holds what open
	// requests have paid for callbacks, delivery and bytes; it burns, and it must be blocked in
	// the bank: what it holds is what the books say.
	ModuleName = "requests"
	// StoreKey is the key of its store.
	StoreKey = ModuleName
)

// Prefixes of the store. Numbers are never reused.
var (
	ParamsPrefix          = collections.NewPrefix(1)
	SpeakersPrefix        = collections.NewPrefix(2)
	OffersPrefix          = collections.NewPrefix(3)
	OffersByGatewayPrefix = collections.NewPrefix(4)
	NextRequestPrefix     = collections.NewPrefix(5)
	RequestsPrefix        = collections.NewPrefix(6)
	OpenByPayerPrefix     = collections.NewPrefix(7)
	OpenByGatewayPrefix   = collections.NewPrefix(8)
	ByJobPrefix           = collections.NewPrefix(9)
	BurnedPrefix          = collections.NewPrefix(10)
	OpenCountsPrefix      = collections.NewPrefix(11)
)
