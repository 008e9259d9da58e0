package keeper

import (
	"context"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
)

type msgServer struct{ *Keeper }

var _ types.MsgServer = msgServer{}

// NewMsgServer serves the messages.
func NewMsgServer(k *Keeper) types.MsgServer { return msgServer{k} }

// UpdateParams changes the rules. Requests that were made keep their prices.
func (m msgServer) UpdateParams(ctx context.Context, msg *types.MsgUpdateParams) (*types.MsgUpdateParamsResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	_, from, err := m.account(msg.Authority)
	if err != nil {
		return nil, err
	}
	if _, want, err := m.account(m.authority); err != nil || from != want {
		return nil, types.ErrUnauthorized.Wrapf("%s may not change the parameters: only %s may", from, m.authority)
	}
	return &types.MsgUpdateParamsResponse{}, m.params.Set(ctx, msg.Params)
}
