package keeper

import (
	"context"
	"fmt"

	"cosmossdk.io/collections"

	"github.com/cantus-network/cantus/ledger/x/lineage/types"
	"github.com/cantus-network/cantus/work"
)

type msgServer struct{ *Keeper }

var _ types.MsgServer = msgServer{}

// NewMsgServer serves the register's messages.
func NewMsgServer(k *Keeper) types.MsgServer { return msgServer{k} }

// UpdateParams changes the rules. What is registered stays.
func (m msgServer) UpdateParams(ctx context.Context, msg *types.MsgUpdateParams) (*types.MsgUpdateParamsResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	from, text, err := m.account(msg.Authority)
	if err != nil {
		return nil, err
	}
	if !m.isAuthority(from) {
		return nil, types.ErrUnauthorized.Wrapf("%s may not change the parameters: only %s may", text, m.authority)
	}
	return &types.MsgUpdateParamsResponse{}, m.params.Set(ctx, msg.Params)
}

// Register enters an artifact. What names a job carries that job's settled root and
// label, copied from the market; what names none is asserted, and nothing more.
func (m msgServer) Register(ctx context.Context, msg *types.MsgRegister) (*types.MsgRegisterResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	owner, ownerText, err := m.owner(msg.Owner)
	if err != nil {
		return nil, err
	}
	if taken, err := m.numbers.Has(ctx, msg.Cid); err != nil {
		return nil, fmt.Errorf("look for artifact %s: %w", msg.Cid, err)
	} else if taken {
		return nil, types.ErrExists.Wrap(msg.Cid)
	}
	p, err := m.Params(ctx)
	if err != nil {
		return nil, err
	}
	if err := checkTerms(msg, p); err != nil {
		return nil, err
	}
	parents, err := m.parents(ctx, msg.Parents)
	if err != nil {
		return nil, err
	}
	a := types.Artifact{
		Cid: msg.Cid, Type: msg.Type, Owner: ownerText, StatementDigest: msg.StatementDigest, Parents: msg.Parents,
		Label: string(work.Asserted), License: msg.License, Status: types.Status_STATUS_ACTIVE,
		RegisteredHeight: height(ctx), RoyaltyBps: msg.RoyaltyBps,
	}
	if msg.Job != 0 {
		if err := m.copyJob(ctx, &a, msg.Job); err != nil {
			return nil, err
		}
	}
	n, err := m.next.Next(ctx)
	if err != nil {
		return nil, fmt.Errorf("number an artifact: %w", err)
	}
	a.Number = n + 1
	if err := m.insert(ctx, a, owner, parents); err != nil {
		return nil, fmt.Errorf("register artifact %s: %w", a.Cid, err)
	}
	emit(ctx, types.EventRegistered, types.AttrCID, a.Cid, types.AttrType, a.Type, types.AttrOwner, a.Owner,
		types.AttrLabel, a.Label, types.AttrJob, a.Job, types.AttrParents, len(a.Parents))
	return &types.MsgRegisterResponse{Label: a.Label}, nil
}

// checkTerms holds a registration to the network's rules of today.
func checkTerms(msg *types.MsgRegister, p types.Params) error {
	if len(msg.Parents) > int(p.MaxParents) {
		return types.ErrInvalid.Wrapf("%d parents, the network takes %d", len(msg.Parents), p.MaxParents)
	}
	owed := uint64(0)
	for _, parent := range msg.Parents {
		owed += uint64(parent.RoyaltyBps)
	}
	if owed > uint64(p.MaxParentsBps) {
		return types.ErrRoyalties.Wrapf("the parents are owed %d bps of what the artifact earns, the network takes %d", owed, p.MaxParentsBps)
	}
	if msg.RoyaltyBps > p.MaxRoyaltyBps {
		return types.ErrRoyalties.Wrapf("the artifact asks for %d bps of a job's price, the network takes %d", msg.RoyaltyBps, p.MaxRoyaltyBps)
	}
	return nil
}

// parents are the records of what an artifact was made from.
func (k *Keeper) parents(ctx context.Context, named []types.Parent) ([]types.Artifact, error) {
	records := make([]types.Artifact, 0, len(named))
	for _, p := range named {
		a, err := k.Artifact(ctx, p.Cid)
		if types.ErrNotFound.Is(err) {
			return nil, types.ErrNotFound.Wrapf("parent %s: register it first", p.Cid)
		}
		if err != nil {
			return nil, err
		}
		records = append(records, a)
	}
	return records, nil
}

// copyJob takes over what the market says of the job that made an artifact.
func (k *Keeper) copyJob(ctx context.Context, a *types.Artifact, job uint64) error {
	if k.jobs == nil {
		return types.ErrJob.Wrap("this network has no market: an artifact can't name a job")
	}
	buyer, root, label, err := k.jobs.SettledJob(ctx, job)
	if err != nil {
		return types.ErrJob.Wrap(err.Error())
	}
	if _, buyer, err = k.account(buyer); err != nil {
		return fmt.Errorf("job %d: its buyer: %w", job, err)
	}
	if buyer != a.Owner {
		return types.ErrUnauthorized.Wrapf("job %d is %s's: only they may register what it made", job, buyer)
	}
	a.Job, a.SettledRoot, a.Label = job, root, label
	if err := a.Check(); err != nil {
		return types.ErrJob.Wrapf("job %d: %v", job, err)
	}
	return nil
}

// active returns the record of an artifact that was not revoked.
func (m msgServer) active(ctx context.Context, cid string) (types.Artifact, error) {
	a, err := m.Artifact(ctx, cid)
	if err == nil && a.Revoked() {
		return a, types.ErrRevoked.Wrapf("%s, since height %d: %s", cid, a.RevokedHeight, a.RevokeReason)
	}
	return a, err
}

// Transfer gives an artifact, and what it earns in jobs that are opened from now on, to
// another account.
func (m msgServer) Transfer(ctx context.Context, msg *types.MsgTransfer) (*types.MsgTransferResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	from, fromText, err := m.account(msg.Owner)
	if err != nil {
		return nil, err
	}
	to, toText, err := m.owner(msg.NewOwner)
	if err != nil {
		return nil, err
	}
	a, err := m.active(ctx, msg.Cid)
	if err != nil {
		return nil, err
	}
	switch {
	case a.Owner != fromText:
		return nil, types.ErrUnauthorized.Wrapf("%s is %s's", a.Cid, a.Owner)
	case toText == fromText:
		return nil, types.ErrInvalid.Wrapf("%s is %s's already", a.Cid, a.Owner)
	}
	if err := m.byOwner.Remove(ctx, collections.Join(from, a.Number)); err != nil {
		return nil, err
	}
	if err := m.byOwner.Set(ctx, collections.Join(to, a.Number)); err != nil {
		return nil, err
	}
	a.Owner = toText
	emit(ctx, types.EventTransferred, types.AttrCID, a.Cid, types.AttrOwner, a.Owner, types.AttrFrom, fromText)
	return &types.MsgTransferResponse{}, m.artifacts.Set(ctx, a.Number, a)
}

// Revoke marks an artifact, for its owner or for governance. What was made from it is
// tainted from then on, and it earns nothing more in jobs that are opened later.
func (m msgServer) Revoke(ctx context.Context, msg *types.MsgRevoke) (*types.MsgRevokeResponse, error) {
	if err := msg.ValidateBasic(); err != nil {
		return nil, err
	}
	by, byText, err := m.account(msg.Owner)
	if err != nil {
		return nil, err
	}
	a, err := m.active(ctx, msg.Cid)
	if err != nil {
		return nil, err
	}
	if a.Owner != byText && !m.isAuthority(by) {
		return nil, types.ErrUnauthorized.Wrapf("%s is %s's", a.Cid, a.Owner)
	}
	a.Status, a.RevokeReason, a.RevokedHeight = types.Status_STATUS_REVOKED, msg.Reason, height(ctx)
	emit(ctx, types.EventRevoked, types.AttrCID, a.Cid, types.AttrOwner, a.Owner, types.AttrBy, byText, types.AttrReason, a.RevokeReason)
	return &types.MsgRevokeResponse{}, m.artifacts.Set(ctx, a.Number, a)
}
