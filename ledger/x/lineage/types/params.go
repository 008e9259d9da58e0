package types

// BasisPoints is the whole, in the unit of every share.
const BasisPoints = 10_000

// Limits that no parameter can lift.
const (
	MaxParents = 1_000
	MaxDepth   = 1_000
)

// DefaultParams are the rules of a public network.
func DefaultParams() Params {
	return Params{MaxParents: 64, MaxDepth: 32, MaxParentsBps: 5_000, MaxRoyaltyBps: 2_000}
}

// Validate refuses parameters outside of what the module can do.
func (p Params) Validate() error {
	switch {
	case p.MaxParents < 1 || p.MaxParents > MaxParents:
		return ErrInvalid.Wrapf("params: max_parents is %d, want 1 to %d", p.MaxParents, MaxParents)
	case p.MaxDepth < 1 || p.MaxDepth > MaxDepth:
		return ErrInvalid.Wrapf("params: max_depth is %d, want 1 to %d", p.MaxDepth, MaxDepth)
	case p.MaxParentsBps > BasisPoints:
		return ErrInvalid.Wrapf("params: max_parents_bps is %d, want at most %d", p.MaxParentsBps, BasisPoints)
	case p.MaxRoyaltyBps > BasisPoints:
		return ErrInvalid.Wrapf("params: max_royalty_bps is %d, want at most %d", p.MaxRoyaltyBps, BasisPoints)
	}
	return nil
}
