package keeper

import (
	"context"
	"errors"
	"fmt"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// RegisterGateway makes the sender a gateway with a bond. One whose bond was paid back
// may come again.
func (m msgServer) RegisterGateway(ctx context.Context, msg *types.MsgRegisterGateway) (*types.MsgRegisterGatewayResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	addr, text, err := m.payee(msg.Address)
	if err != nil {
		return nil, err
	}
	switch {
	case msg.Bond.LT(p.MinGatewayBond):
		return nil, types.ErrBond.Wrapf("a bond of %s anote, at least %s", msg.Bond, p.MinGatewayBond)
	case msg.FeeBps > p.MaxGatewayFeeBps:
		return nil, types.ErrFee.Wrapf("a fee of %d bps, at most %d", msg.FeeBps, p.MaxGatewayFeeBps)
	}
	key, err := work.KeyFromBytes(msg.Key)
	if err != nil {
		return nil, types.ErrInvalid.Wrap(err.Error())
	}
	if err := key.VerifyEnrollment(chainID(ctx), text, msg.Signature); err != nil {
		return nil, types.ErrUnauthorized.Wrapf("gateway key %s: %v: it must sign the enrollment for %s on %s", key, err, text, chainID(ctx))
	}
	g, err := m.gateways.Get(ctx, addr)
	switch {
	case errors.Is(err, collections.ErrNotFound):
		g = types.Gateway{Address: text}
	case err != nil:
		return nil, fmt.Errorf("read gateway %s: %w", text, err)
	case g.Status != types.Status_STATUS_GONE:
		return nil, types.ErrExists.Wrapf("%s is a gateway", text)
	}
	if taken, err := m.gatewayOf.Has(ctx, msg.Key); err != nil {
		return nil, fmt.Errorf("look up gateway key %s: %w", key, err)
	} else if taken {
		return nil, types.ErrExists.Wrapf("key %s is another gateway's", key)
	}
	g.Key, g.Url, g.Bond, g.FeeBps = msg.Key, msg.Url, msg.Bond, msg.FeeBps
	g.Status, g.RegisteredHeight, g.ReleaseHeight = types.Status_STATUS_ACTIVE, height(ctx), 0
	if err := m.lock(ctx, addr, types.BondsAccount, msg.Bond); err != nil {
		return nil, err
	}
	if err := m.gatewayOf.Set(ctx, msg.Key, addr); err != nil {
		return nil, err
	}
	emit(ctx, types.EventGateway, types.AttrGateway, text, types.AttrAmount, msg.Bond)
	return &types.MsgRegisterGatewayResponse{}, m.setGateway(ctx, g)
}

// UpdateGateway changes a gateway's door, its fee for jobs to come, or whether it takes any.
func (m msgServer) UpdateGateway(ctx context.Context, msg *types.MsgUpdateGateway) (*types.MsgUpdateGatewayResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	addr, text, err := m.account(msg.Address)
	if err != nil {
		return nil, err
	}
	g, err := m.gateway(ctx, addr)
	if err != nil {
		return nil, err
	}
	if g.Status != types.Status_STATUS_ACTIVE && g.Status != types.Status_STATUS_PAUSED {
		return nil, types.ErrState.Wrapf("gateway %s is %s", text, g.Status)
	}
	if msg.FeeBps > p.MaxGatewayFeeBps {
		return nil, types.ErrFee.Wrapf("a fee of %d bps, at most %d", msg.FeeBps, p.MaxGatewayFeeBps)
	}
	if msg.Status == types.Status_STATUS_ACTIVE && g.Bond.LT(p.MinGatewayBond) {
		return nil, types.ErrBond.Wrapf("gateway %s has a bond of %s anote: add to it until it is %s", text, g.Bond, p.MinGatewayBond)
	}
	g.FeeBps = msg.FeeBps
	if msg.Url != "" {
		g.Url = msg.Url
	}
	if msg.Status != types.Status_STATUS_UNSPECIFIED {
		g.Status = msg.Status
	}
	emit(ctx, types.EventGatewayUpdated, types.AttrGateway, text, types.AttrStatus, g.Status)
	return &types.MsgUpdateGatewayResponse{}, m.setGateway(ctx, g)
}

// UnbondGateway starts the way back of a gateway's bond. It must have finished its jobs;
// until the bond arrives, workers can still hold their vouchers against it.
func (m msgServer) UnbondGateway(ctx context.Context, msg *types.MsgUnbondGateway) (*types.MsgUnbondGatewayResponse, error) {
	addr, text, err := m.account(msg.Address)
	if err != nil {
		return nil, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	g, err := m.gateway(ctx, addr)
	if err != nil {
		return nil, err
	}
	switch {
	case g.Status != types.Status_STATUS_ACTIVE && g.Status != types.Status_STATUS_PAUSED:
		return nil, types.ErrState.Wrapf("gateway %s is %s", text, g.Status)
	case g.OpenJobs > 0:
		return nil, types.ErrState.Wrapf("gateway %s has %d jobs that are not closed: pause it, finish them and wait until they settled", text, g.OpenJobs)
	}
	g.Status = types.Status_STATUS_UNBONDING
	g.ReleaseHeight = height(ctx) + p.UnbondingBlocks
	if err := m.queueRelease(ctx, g.ReleaseHeight, gatewayBond(addr)); err != nil {
		return nil, err
	}
	emit(ctx, types.EventGatewayUnbond, types.AttrGateway, text, types.AttrHeight, g.ReleaseHeight)
	return &types.MsgUnbondGatewayResponse{ReleaseHeight: g.ReleaseHeight}, m.setGateway(ctx, g)
}

// The queue of bonds names whose bond it is: a byte for the sort, then key or address.
const (
	bondOfWorker  = 1
	bondOfGateway = 2
)

func workerBond(key []byte) []byte   { return append([]byte{bondOfWorker}, key...) }
func gatewayBond(addr []byte) []byte { return append([]byte{bondOfGateway}, addr...) }

func (k *Keeper) queueRelease(ctx context.Context, at int64, who []byte) error {
	return k.releaseQueue.Set(ctx, collections.Join(at, who))
}

// wakeBond pays a bond back whose time has come.
func (k *Keeper) wakeBond(ctx context.Context, who []byte) error {
	if who[0] == bondOfGateway {
		return k.releaseGateway(ctx, who[1:])
	}
	w, err := k.worker(ctx, who[1:])
	if err != nil {
		return err
	}
	leaving := w.Status == types.Status_STATUS_UNBONDING || w.Status == types.Status_STATUS_JAILED
	if !leaving || height(ctx) < w.ReleaseHeight {
		return nil
	}
	if w.Charges > 0 || w.Disputes > 0 { // it waits for plants to be shown, or for disputes
		p, err := k.Params(ctx)
		if err != nil {
			return err
		}
		w.ReleaseHeight = height(ctx) + p.OpenBlocks + 1
		if err := k.queueRelease(ctx, w.ReleaseHeight, who); err != nil {
			return err
		}
		return k.setWorker(ctx, w)
	}
	addr, _, err := k.account(w.Operator)
	if err != nil {
		return err
	}
	if err := k.release(ctx, types.BondsAccount, addr, w.Bond); err != nil {
		return fmt.Errorf("pay the bond of worker %x back: %w", w.Key, err)
	}
	emit(ctx, types.EventWorkerReleased, types.AttrWorker, w.Key, types.AttrOperator, w.Operator, types.AttrAmount, w.Bond)
	w.Status, w.Bond, w.ReleaseHeight = types.Status_STATUS_GONE, math.ZeroInt(), 0
	if err := k.owned.Remove(ctx, collections.Join(addr, w.Key)); err != nil {
		return err
	}
	op, err := get(ctx, k.operators, addr, "operator %s", w.Operator)
	if err != nil {
		return err
	}
	op.Workers--
	if err := k.operators.Set(ctx, addr, op); err != nil {
		return err
	}
	return k.setWorker(ctx, w)
}

func (k *Keeper) releaseGateway(ctx context.Context, addr []byte) error {
	g, err := k.gateway(ctx, addr)
	if err != nil {
		return err
	}
	if g.Status != types.Status_STATUS_UNBONDING || height(ctx) < g.ReleaseHeight {
		return nil
	}
	if g.OpenChallenges > 0 {
		p, err := k.Params(ctx)
		if err != nil {
			return err
		}
		g.ReleaseHeight = height(ctx) + p.AnswerBlocks + 1
		if err := k.queueRelease(ctx, g.ReleaseHeight, gatewayBond(addr)); err != nil {
			return err
		}
		return k.setGateway(ctx, g)
	}
	if err := k.release(ctx, types.BondsAccount, addr, g.Bond); err != nil {
		return fmt.Errorf("pay the bond of gateway %s back: %w", g.Address, err)
	}
	emit(ctx, types.EventGatewayReleased, types.AttrGateway, g.Address, types.AttrAmount, g.Bond)
	g.Status, g.Bond, g.ReleaseHeight, g.Cells = types.Status_STATUS_GONE, math.ZeroInt(), 0, nil
	if err := k.gatewayOf.Remove(ctx, g.Key); err != nil {
		return err
	}
	return k.setGateway(ctx, g)
}
