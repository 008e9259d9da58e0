package keeper

import (
	"context"
	"crypto/sha256"
	"fmt"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/x/requests/types"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
)

// Request asks a model, or for a page: it takes the fee, holds what callbacks, delivery and bytes may cost,
// and opens a job with what the work may cost. The job is the payer's, who is refunded when
// it closes.
func (k *Keeper) Request(ctx context.Context, a types.Ask) (types.Request, error) {
	p, err := k.Params(ctx)
	if err != nil {
		return types.Request{}, err
	}
	if err := a.Check(p); err != nil {
		return types.Request{}, err
	}
	payer, err := k.payee(a.Payer)
	if err != nil {
		return types.Request{}, err
	}
	open, err := k.openOf(ctx, a.Payer)
	if err != nil {
		return types.Request{}, err
	}
	if open >= uint64(p.MaxOpenPerAccount) {
		return types.Request{}, types.ErrLimit.Wrapf("%s has %d requests that are not over: wait until one is", payer, open)
	}
	q, err := k.quote(ctx, a.Size(), p)
	if err != nil {
		return types.Request{}, err
	}
	if a.Fee.LT(q.Fee) {
		return types.Request{}, types.ErrFee.Wrapf("a fee of %s anote, and the request may cost %s: send that; what is not used comes back", a.Fee, q.Fee)
	}
	n, err := k.nextRequest.Next(ctx)
	if err != nil {
		return types.Request{}, fmt.Errorf("number a request: %w", err)
	}
	zero, digest := math.ZeroInt(), sha256.Sum256(a.Prompt)
	r := types.Request{
		Id: n + 1, Payer: payer, CallbackGas: a.CallbackGas, CallbackPrice: q.Price, BytePrice: p.BytePrice, Policy: uint32(a.Policy),
		Speaker: a.Speaker[:], Prompt: a.Prompt, PromptDigest: digest[:], Sampling: a.Sampling, Gateway: q.Offer.Gateway, Terms: q.Offer.Terms,
		Status: types.Status_STATUS_OPEN, OpenedHeight: height(ctx),
		Fee: a.Fee, Escrow: zero, Held: zero, Burned: zero, Delivered: zero, GasPaid: zero, Returned: zero,
	}
	if a.CallbackGas > 0 {
		r.Callback = a.Callback[:]
	}
	if err := k.take(ctx, &r, a.From); err != nil {
		return r, err
	}
	if err := k.burn(ctx, &r, len(r.Prompt)); err != nil {
		return r, err
	}
	if err := k.pay(ctx, &r, &r.Escrow, a.Payer, q.Escrow); err != nil {
		return r, err
	}
	if r.Job, err = k.market.OpenJob(ctx, order(q.Offer, payer, q.Escrow)); err != nil {
		return r, fmt.Errorf("open a job for request %d: %w", r.Id, err)
	}
	// What came above the least fee goes back at once: a larger escrow only tempts.
	if err := k.giveBack(ctx, &r, q.Fee.Sub(r.Spent())); err != nil {
		return r, err
	}
	if err := k.list(ctx, r); err != nil {
		return r, err
	}
	emit(ctx, types.EventRequested, types.AttrRequest, r.Id, types.AttrSpeaker, r.Speaker, types.AttrPayer, payer,
		types.AttrGateway, r.Gateway, types.AttrJob, r.Job, types.AttrPolicy, r.Policy, types.AttrAmount, r.Fee)
	return r, k.set(ctx, r)
}

// ready returns a request that no callback of its own is under way for.
func (k *Keeper) ready(ctx context.Context, id uint64) (types.Request, error) {
	r, err := k.Lookup(ctx, id)
	if err == nil && r.Calling {
		err = types.ErrState.Wrapf("request %d: its callback is under way", id)
	}
	return r, err
}

// Cancel ends a request at its payer's wish. What its workers have done by then is still
// paid by its job; the rest comes back, what the module holds at once.
func (k *Keeper) Cancel(ctx context.Context, id uint64, payer sdk.AccAddress) (types.Call, error) {
	r, err := k.ready(ctx, id)
	if err != nil {
		return types.Call{}, err
	}
	who, err := k.addresses.BytesToString(payer)
	if err != nil {
		return types.Call{}, types.ErrInvalid.Wrapf("address %x: %v", []byte(payer), err)
	}
	switch {
	case who != r.Payer:
		return types.Call{}, types.ErrUnauthorized.Wrapf("request %d is %s's", id, r.Payer)
	case r.Status != types.Status_STATUS_OPEN:
		return types.Call{}, types.ErrState.Wrapf("request %d is %s: only one that is open can be cancelled", id, r.Status)
	}
	if err := k.closeJob(ctx, r); err != nil {
		return types.Call{}, err
	}
	if err := k.giveBack(ctx, &r, math.ZeroInt()); err != nil {
		return types.Call{}, err
	}
	if err := k.end(ctx, &r, types.Status_STATUS_CANCELLED); err != nil {
		return types.Call{}, err
	}
	return callOf(r, false), k.set(ctx, r)
}

// closeJob ends new work in a request's job, if it takes any.
func (k *Keeper) closeJob(ctx context.Context, r types.Request) error {
	j, err := k.market.Job(ctx, r.Job)
	if err != nil || j.Status != worktypes.JobStatus_JOB_STATUS_OPEN {
		return err
	}
	if err := k.market.CloseJob(ctx, r.Payer, r.Job); err != nil {
		return fmt.Errorf("close the job of request %d: %w", r.Id, err)
	}
	return nil
}

// end marks a request as over. What it held was given back, but for its last callback's gas.
func (k *Keeper) end(ctx context.Context, r *types.Request, s types.Status) error {
	r.Status, r.EndedHeight, r.Prompt = s, height(ctx), nil
	emit(ctx, types.EventEnded, types.AttrRequest, r.Id, types.AttrGateway, r.Gateway, types.AttrStatus, s)
	return k.unlist(ctx, *r)
}

// callOf is how a request stands.
func callOf(r types.Request, due bool) types.Call {
	c := types.Call{
		Due: due, Gas: r.CallbackGas, ID: r.Id, Status: r.Status, Answer: r.Answer, Hashed: r.Digested, Label: labelOf(r),
	}
	copy(c.To[:], r.Callback)
	copy(c.Receipt[:], r.Receipt)
	return c
}
