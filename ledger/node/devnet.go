package node

import (
	"context"
	"fmt"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/genesis"
	"github.com/cantus-network/cantus/ledger/keys"
)

// Devnet says what a one-machine network is to be.
type Devnet struct {
	ChainID    string // empty: chain.DevnetID
	EVMChainID uint64 // zero: chain.DefaultEVMChainID
	// Validator is the name of the key that stakes; it gets the stake on top of what
	// Accounts give it.
	Validator string
	Accounts  []genesis.Account
	Listen    Listen
	Moniker   string
}

// devnetStake is what a devnet's validator stakes.
var devnetStake = chain.Notes(1_000_000)

// InitDevnet prepares a home whose node is a network by itself: it validates
// alone, makes a block every 200 ms, keeps to loopback, and lets workers crawl
// loopback addresses. ring holds the validator's key.
func InitDevnet(ctx context.Context, home string, ring keys.Ring, d Devnet) error {
	fail := func(err error) error { return fmt.Errorf("prepare a devnet in %s: %w", home, err) }
	if Prepared(home) {
		return fail(fmt.Errorf("it is a ledger's home already"))
	}
	if d.ChainID == "" {
		d.ChainID = chain.DevnetID
	}
	val, err := keys.Find(ring, d.Validator)
	if err != nil {
		return fail(err)
	}
	// The stake's fee comes out of the same account.
	extra := devnetStake.Add(chain.Notes(1))
	accounts, found := make([]genesis.Account, 0, len(d.Accounts)+1), false
	for _, a := range d.Accounts {
		if a.Address.Equals(val.Address) {
			found = true
			if a.Amount.IsNil() {
				a.Amount = math.ZeroInt()
			}
			a.Amount = a.Amount.Add(extra)
		}
		accounts = append(accounts, a)
	}
	if !found {
		accounts = append(accounts, genesis.Account{Address: val.Address, Amount: extra})
	}
	g, err := genesis.New(genesis.Network{
		ChainID: d.ChainID, EVMChainID: d.EVMChainID, Accounts: accounts,
		Devnet: true, AllowLoopback: true,
	})
	if err != nil {
		return fail(err)
	}
	id, err := LoadIdentity(home)
	if err != nil {
		return fail(err)
	}
	stake, err := genesis.SignStake(ctx, g, ring, genesis.Stake{
		Operator: d.Validator, ConsensusKey: id.ConsensusKey, Amount: devnetStake, Moniker: d.Moniker,
	})
	if err != nil {
		return fail(err)
	}
	if err := genesis.AddStake(g, stake); err != nil {
		return fail(err)
	}
	return Init(home, Setup{Moniker: d.Moniker, Devnet: true, Genesis: g, Listen: d.Listen})
}
