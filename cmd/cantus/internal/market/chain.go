package market

import (
	"context"

	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/client"
)

// account sends as one account of a client's keyring.
type account struct {
	c    *client.Client
	name string
}

// NewChain is the Chain over c, sending as the named account.
func NewChain(c *client.Client, name string) Chain { return account{c, name} }

func (a account) WaitHeight(ctx context.Context, above int64) (int64, error) {
	for h, err := range a.c.Follow(ctx, above+1) {
		if err != nil {
			return 0, err
		}
		// Follow counts every block; the newest is what is asked for.
		if newest, err := a.c.Height(ctx); err == nil && newest > h {
			h = newest
		}
		return h, nil
	}
	return 0, ctx.Err()
}

func (a account) Send(ctx context.Context, msgs ...sdk.Msg) error {
	_, err := a.c.Send(ctx, a.name, msgs...)
	return err
}
