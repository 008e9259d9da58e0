package cli

import (
	"context"
	"fmt"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/gateway/api"
	"github.com/cantus-network/cantus/ledger/chain"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// order is a job before the ledger has it.
type order struct {
	kind          work.Name
	spec          []byte
	escrow, price math.Int
	audit         float64 // per cent
	epoch, expiry int64   // blocks; expiry 0 for the network's longest
	from          string  // the buyer's account
	flag          string  // that gave the escrow, for errors
	// sending is called when everything that can be checked is right, before the money goes.
	sending func() error
}

// order gives the gateway the spec and opens the job on the ledger.
func (s *session) order(ctx context.Context, gw *api.Client, o order) (uint64, error) {
	buyer, err := s.account(o.from)
	if err != nil {
		return 0, err
	}
	info, err := gw.Info(ctx)
	if err != nil {
		return 0, err
	}
	rec, err := s.GatewayRecord(ctx, info.Gateway)
	if err != nil {
		return 0, err
	}
	if g, err := market.PlainGateway(rec); err != nil || !g.Active {
		return 0, fmt.Errorf("the gateway %s is not bonded and active: choose another with --gateway (`cantus gateway list`)", info.Gateway)
	}
	params, err := s.Params(ctx)
	if err != nil {
		return 0, err
	}
	have, err := s.balance(ctx, buyer.Address.String())
	if err != nil {
		return 0, err
	}
	if have.LTE(o.escrow) {
		return 0, fmt.Errorf("account %s has %s, too little for %s %s and the transaction's fee: put in less, or fund the account", o.from, chain.FormatAmount(have), o.flag, chain.FormatAmount(o.escrow))
	}
	expiry := params.MaxJobBlocks
	if o.expiry != 0 {
		expiry = o.expiry
	}
	if expiry < 1 || expiry > params.MaxJobBlocks {
		return 0, usagef("--expiry %d: this network allows 1 to %d blocks", o.expiry, params.MaxJobBlocks)
	}
	reply, err := gw.SubmitSpec(ctx, o.kind, o.spec)
	if err != nil {
		return 0, err
	}
	digest := artifact.Sum(o.spec)
	if reply.Digest != digest {
		return 0, fmt.Errorf("the gateway stored the spec as %s, but its digest is %s: do not trust it", reply.Digest, digest)
	}
	if o.sending != nil {
		if err := o.sending(); err != nil {
			return 0, err
		}
	}
	res, err := s.ledger.Send(ctx, o.from, &worktypes.MsgOpenJob{
		Buyer: buyer.Address.String(), Gateway: info.Gateway, Cell: info.Cell, Kind: string(o.kind), SpecDigest: digest[:],
		Escrow: o.escrow, Price: o.price, AuditBps: max(uint32(o.audit*100), params.MinAuditBps), EpochBlocks: o.epoch, ExpiryBlocks: expiry, MaxGatewayFeeBps: rec.FeeBps,
	})
	if err != nil {
		return 0, fmt.Errorf("open the job: %w", err)
	}
	var opened worktypes.MsgOpenJobResponse
	if err := res.Response(0, &opened); err != nil {
		return 0, err
	}
	return opened.Job, nil
}
