package localnet

import (
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/client"
	"github.com/cantus-network/cantus/ledger/genesis"
	"github.com/cantus-network/cantus/ledger/keys"
)

// The accounts of a one-machine network. Each worker has an operator of its own, because
// nobody audits their own workers: with one operator for all, no receipt could be checked.
const (
	accountValidator = "validator"
	accountGateway   = "gateway"
	AccountBuyer     = "buyer"
)

func operatorName(n int) string { return fmt.Sprintf("operator-%d", n) }

var (
	buyerFunds    = chain.Notes(1_000_000)
	gatewayFunds  = chain.Notes(100_000)
	treasuryFunds = chain.Notes(1_000_000) // the validator's, from which later operators are funded
	operatorFunds = chain.Notes(10_000)
)

// ensureAccount makes an account that isn't there.
func ensureAccount(ring keys.Ring, name string) (keys.Account, error) {
	a, err := keys.Find(ring, name)
	if err == nil || !errors.Is(err, keys.ErrNoKey) {
		return a, err
	}
	// The words are not shown: these accounts hold the worthless notes of this network.
	if _, err := keys.Create(ring, name); err != nil {
		return keys.Account{}, err
	}
	return keys.Find(ring, name)
}

// firstAccounts makes the accounts that a new network starts with.
func firstAccounts(ring keys.Ring, workers int) ([]genesis.Account, error) {
	funds := []struct {
		name   string
		amount math.Int
	}{{accountValidator, treasuryFunds}, {accountGateway, gatewayFunds}, {AccountBuyer, buyerFunds}}
	for n := 1; n <= workers; n++ {
		funds = append(funds, struct {
			name   string
			amount math.Int
		}{operatorName(n), operatorFunds})
	}
	out := make([]genesis.Account, 0, len(funds))
	for _, f := range funds {
		a, err := ensureAccount(ring, f.name)
		if err != nil {
			return nil, err
		}
		out = append(out, genesis.Account{Address: a.Address, Amount: f.amount})
	}
	return out, nil
}

// fundOperators gives operators that came after the first start what the others had.
func fundOperators(ctx context.Context, c *client.Client, ring keys.Ring, workers int) error {
	treasury, err := keys.Find(ring, accountValidator)
	if err != nil {
		return err
	}
	var msgs []sdk.Msg
	for n := 1; n <= workers; n++ {
		a, err := ensureAccount(ring, operatorName(n))
		if err != nil {
			return err
		}
		b, err := c.Balance(ctx, a.Address)
		if err != nil {
			return err
		}
		if b.IsZero() {
			msgs = append(msgs, &banktypes.MsgSend{FromAddress: treasury.Address.String(), ToAddress: a.Address.String(), Amount: chain.Coins(operatorFunds)})
		}
	}
	if len(msgs) == 0 {
		return nil
	}
	_, err = c.Send(ctx, accountValidator, msgs...)
	return err
}
