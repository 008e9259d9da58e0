package types

// DefaultGenesis is an empty register under the rules of a public network.
func DefaultGenesis() *GenesisState { return &GenesisState{Params: DefaultParams()} }

// Validate refuses a register whose records are malformed, double or out of order. Parents
// come before what was made from them, so what passes has no cycles.
func (g *GenesisState) Validate() error {
	if err := g.Params.Validate(); err != nil {
		return err
	}
	seen := make(map[string]bool, len(g.Artifacts))
	for i, a := range g.Artifacts {
		if a.Number != uint64(i)+1 {
			return ErrInvalid.Wrapf("genesis: artifact %.80q has number %d, want %d: they are listed as they were registered", a.Cid, a.Number, i+1)
		}
		if err := a.Check(); err != nil {
			return ErrInvalid.Wrapf("genesis: artifact %d: %v", a.Number, err)
		}
		if seen[a.Cid] {
			return ErrExists.Wrapf("genesis: %s is there twice", a.Cid)
		}
		for _, p := range a.Parents {
			if !seen[p.Cid] {
				return ErrNotFound.Wrapf("genesis: parent %s of %s does not come before it", p.Cid, a.Cid)
			}
		}
		seen[a.Cid] = true
	}
	return nil
}
