package cli

import (
	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/ledger/chain"
)

// parseAmount reads an amount above zero that was given as what.
func parseAmount(what, s string) (math.Int, error) {
	v, err := chain.ParseAmount(s)
	if err != nil {
		return v, usagef("%s: %w", what, err)
	}
	if !v.IsPositive() {
		return v, usagef("%s %s: it must be above zero", what, s)
	}
	return v, nil
}

// notes is an amount of anote, as scripts get it, for people.
func notes(anote string) string {
	v, ok := math.NewIntFromString(anote)
	if !ok {
		return ""
	}
	return chain.FormatAmount(v)
}
