package types

import "cosmossdk.io/collections"

const (
	// ModuleName names the module and its store.
	ModuleName = "lineage"
	// StoreKey is the key of its store.
	StoreKey = ModuleName
)

// Prefixes of the store. Numbers are never reused.
var (
	ParamsPrefix    = collections.NewPrefix(1)
	ArtifactsPrefix = collections.NewPrefix(2)
	NumbersPrefix   = collections.NewPrefix(3)
	NextPrefix      = collections.NewPrefix(4)
	ByOwnerPrefix   = collections.NewPrefix(5)
	ChildrenPrefix  = collections.NewPrefix(6)
)
