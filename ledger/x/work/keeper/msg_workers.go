package keeper

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cosmossdk.io/collections"
	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// RegisterOperator makes the sender an operator, or changes its texts.
func (m msgServer) RegisterOperator(ctx context.Context, msg *types.MsgRegisterOperator) (*types.MsgRegisterOperatorResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	addr, text, err := m.payee(msg.Operator)
	if err != nil {
		return nil, err
	}
	op, err := m.operators.Get(ctx, addr)
	switch {
	case errors.Is(err, collections.ErrNotFound):
		op = types.Operator{Address: text, RegisteredHeight: height(ctx)}
	case err != nil:
		return nil, fmt.Errorf("read operator %s: %w", text, err)
	}
	op.Moniker, op.Contact = msg.Moniker, msg.Contact
	emit(ctx, types.EventOperator, types.AttrOperator, text)
	return &types.MsgRegisterOperatorResponse{}, m.operators.Set(ctx, addr, op)
}

// EnrollWorkers adds workers under the sender, with their bonds.
func (m msgServer) EnrollWorkers(ctx context.Context, msg *types.MsgEnrollWorkers) (*types.MsgEnrollWorkersResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	if len(msg.Workers) > int(p.MaxWorkersPerTx) {
		return nil, types.ErrInvalid.Wrapf("%d workers in one message, at most %d", len(msg.Workers), p.MaxWorkersPerTx)
	}
	addr, owner, err := m.payee(msg.Operator)
	if err != nil {
		return nil, err
	}
	op, err := get(ctx, m.operators, addr, "operator %s: register it first", owner)
	if err != nil {
		return nil, err
	}
	total := math.ZeroInt()
	for _, e := range msg.Workers {
		if e.Bond.LT(p.MinWorkerBond) {
			return nil, types.ErrBond.Wrapf("worker %x: a bond of %s anote, at least %s", e.Key, e.Bond, p.MinWorkerBond)
		}
		w, err := m.newWorker(ctx, e, owner)
		if err != nil {
			return nil, err
		}
		if err := m.setWorkerStatus(ctx, &w, types.Status_STATUS_ACTIVE); err != nil {
			return nil, err
		}
		if err := m.setWorker(ctx, w); err != nil {
			return nil, err
		}
		if err := m.owned.Set(ctx, collections.Join(addr, w.Key)); err != nil {
			return nil, err
		}
		total = total.Add(e.Bond)
		emit(ctx, types.EventWorkerEnrolled, types.AttrWorker, w.Key, types.AttrOperator, owner, types.AttrAmount, w.Bond)
	}
	if err := m.lock(ctx, addr, types.BondsAccount, total); err != nil {
		return nil, err
	}
	op.Workers += uint64(len(msg.Workers))
	return &types.MsgEnrollWorkersResponse{}, m.operators.Set(ctx, addr, op)
}

// newWorker checks that a key may be enrolled: its holder agrees, and it is not enrolled.
// A worker whose bond was paid back may come again, and keeps its record.
func (m msgServer) newWorker(ctx context.Context, e types.Enrollment, owner string) (types.Worker, error) {
	key, err := work.KeyFromBytes(e.Key)
	if err != nil {
		return types.Worker{}, types.ErrInvalid.Wrap(err.Error())
	}
	if err := key.VerifyEnrollment(chainID(ctx), owner, e.Signature); err != nil {
		return types.Worker{}, types.ErrUnauthorized.Wrapf("worker %s: %v: the key must sign the enrollment for %s on %s", key, err, owner, chainID(ctx))
	}
	w, err := m.workers.Get(ctx, e.Key)
	switch {
	case errors.Is(err, collections.ErrNotFound):
		w = types.Worker{Key: e.Key}
	case err != nil:
		return w, fmt.Errorf("read worker %s: %w", key, err)
	case w.Status != types.Status_STATUS_GONE:
		return w, types.ErrExists.Wrapf("worker %s is enrolled by %s", key, w.Operator)
	}
	w.Operator, w.Kinds, w.Network, w.Region, w.Bond = owner, e.Kinds, e.Network, e.Region, e.Bond
	w.EnrolledHeight, w.ReleaseHeight = height(ctx), 0
	return w, nil
}

// own returns a worker of the sender's.
func (m msgServer) own(ctx context.Context, sender string, key []byte) (types.Worker, error) {
	w, err := m.worker(ctx, key)
	if err != nil {
		return w, err
	}
	if w.Operator != sender {
		return w, types.ErrUnauthorized.Wrapf("worker %x belongs to %s", key, w.Operator)
	}
	return w, nil
}

// UpdateWorker changes what a worker says of itself, pauses it or has it active again.
func (m msgServer) UpdateWorker(ctx context.Context, msg *types.MsgUpdateWorker) (*types.MsgUpdateWorkerResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	_, owner, err := m.account(msg.Operator)
	if err != nil {
		return nil, err
	}
	w, err := m.own(ctx, owner, msg.Key)
	if err != nil {
		return nil, err
	}
	if w.Status != types.Status_STATUS_ACTIVE && w.Status != types.Status_STATUS_PAUSED {
		return nil, types.ErrState.Wrapf("worker %x is %s", msg.Key, w.Status)
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	status := w.Status
	if msg.Status != types.Status_STATUS_UNSPECIFIED {
		status = msg.Status
	}
	if status == types.Status_STATUS_ACTIVE && w.Status != status && w.Bond.LT(p.MinWorkerBond) {
		return nil, types.ErrBond.Wrapf("worker %x has a bond of %s anote: add to it until it is %s", msg.Key, w.Bond, p.MinWorkerBond)
	}
	kinds := w.Kinds
	if len(msg.Kinds) > 0 {
		kinds = msg.Kinds
	}
	network := w.Network
	if msg.Network != "" {
		network = msg.Network
	}
	if msg.Region != "" {
		w.Region = msg.Region
	}
	// What decides whom it may audit takes it off the roster and on again, with the
	// height from which on it counts.
	if !slices.Equal(kinds, w.Kinds) || network != w.Network {
		if err := m.setWorkerStatus(ctx, &w, types.Status_STATUS_PAUSED); err != nil {
			return nil, err
		}
		w.Kinds, w.Network = kinds, network
	}
	if err := m.setWorkerStatus(ctx, &w, status); err != nil {
		return nil, err
	}
	return &types.MsgUpdateWorkerResponse{}, m.setWorker(ctx, w)
}

// UnbondWorkers starts the way back of workers' bonds. Until they arrive they can still
// be slashed for what the workers did.
func (m msgServer) UnbondWorkers(ctx context.Context, msg *types.MsgUnbondWorkers) (*types.MsgUnbondWorkersResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	_, owner, err := m.account(msg.Operator)
	if err != nil {
		return nil, err
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	release := height(ctx) + p.UnbondingBlocks
	for _, key := range msg.Keys {
		w, err := m.own(ctx, owner, key)
		if err != nil {
			return nil, err
		}
		if w.Status != types.Status_STATUS_ACTIVE && w.Status != types.Status_STATUS_PAUSED {
			return nil, types.ErrState.Wrapf("worker %x is %s", key, w.Status)
		}
		if err := m.setWorkerStatus(ctx, &w, types.Status_STATUS_UNBONDING); err != nil {
			return nil, err
		}
		w.ReleaseHeight = release
		if err := m.queueRelease(ctx, release, workerBond(key)); err != nil {
			return nil, err
		}
		if err := m.setWorker(ctx, w); err != nil {
			return nil, err
		}
		emit(ctx, types.EventWorkerUnbonding, types.AttrWorker, key, types.AttrOperator, owner, types.AttrHeight, release)
	}
	return &types.MsgUnbondWorkersResponse{ReleaseHeight: release}, nil
}

// TopUpBond adds to the bond of one of the sender's workers, or of its gateway.
func (m msgServer) TopUpBond(ctx context.Context, msg *types.MsgTopUpBond) (*types.MsgTopUpBondResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	addr, sender, err := m.account(msg.Sender)
	if err != nil {
		return nil, err
	}
	if len(msg.Worker) == 0 {
		g, err := m.gateway(ctx, addr)
		if err != nil {
			return nil, err
		}
		if g.Status != types.Status_STATUS_ACTIVE && g.Status != types.Status_STATUS_PAUSED {
			return nil, types.ErrState.Wrapf("gateway %s is %s", sender, g.Status)
		}
		g.Bond = g.Bond.Add(msg.Amount)
		emit(ctx, types.EventBond, types.AttrGateway, sender, types.AttrAmount, msg.Amount)
		if err := m.setGateway(ctx, g); err != nil {
			return nil, err
		}
		return &types.MsgTopUpBondResponse{}, m.lock(ctx, addr, types.BondsAccount, msg.Amount)
	}
	w, err := m.own(ctx, sender, msg.Worker)
	if err != nil {
		return nil, err
	}
	if w.Status != types.Status_STATUS_ACTIVE && w.Status != types.Status_STATUS_PAUSED {
		return nil, types.ErrState.Wrapf("worker %x is %s", msg.Worker, w.Status)
	}
	w.Bond = w.Bond.Add(msg.Amount)
	emit(ctx, types.EventBond, types.AttrWorker, msg.Worker, types.AttrAmount, msg.Amount)
	if err := m.setWorker(ctx, w); err != nil {
		return nil, err
	}
	return &types.MsgTopUpBondResponse{}, m.lock(ctx, addr, types.BondsAccount, msg.Amount)
}
