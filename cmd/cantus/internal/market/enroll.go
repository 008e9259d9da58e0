package market

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"

	"github.com/cantus-network/cantus/ledger/client"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

// NodeKey reads a node key from a file, which is made when it is not there.
func NodeKey(path string) (work.PrivateKey, error) {
	k, err := worker.LoadKey(path)
	if errors.Is(err, worker.ErrNoKey) {
		return worker.CreateKey(path)
	}
	return k, err
}

// GatewayBond is what a gateway bonds where nobody says otherwise: twice the least, since with
// less than the least it takes no new jobs, and a first fine should not end it.
func GatewayBond(p types.Params) math.Int { return p.MinGatewayBond.MulRaw(2) }

// RegisterGateway bonds a gateway, or brings the URL and fee of a bonded one up to date.
func RegisterGateway(ctx context.Context, c *client.Client, v View, owner keys.Account, key work.PrivateKey, url string, feeBps uint32, bond math.Int) error {
	addr, pub := owner.Address.String(), key.Public()
	known, err := v.GatewayRecord(ctx, addr)
	switch {
	case err == nil && string(known.Key) != string(pub[:]):
		return errors.New("the ledger knows this gateway by another key than the one in its home: restore the key file, or use another account")
	case err == nil && known.Url == url && known.FeeBps == feeBps && known.Status == types.Status_STATUS_ACTIVE:
		return nil
	case err == nil:
		_, err := c.Send(ctx, owner.Name, &types.MsgUpdateGateway{Address: addr, Url: url, FeeBps: feeBps, Status: types.Status_STATUS_ACTIVE})
		return err
	case !NotFound(err):
		return err
	}
	sig, err := key.SignEnrollment(c.ChainID(), addr)
	if err != nil {
		return err
	}
	_, err = c.Send(ctx, owner.Name, &types.MsgRegisterGateway{
		Address: addr, Key: pub[:], Url: url, Bond: bond, FeeBps: feeBps, Signature: sig,
	})
	return err
}

// Enrollment is one worker to enrol.
type Enrollment struct {
	Key             work.PublicKey
	Signature       []byte // its work.PrivateKey.SignEnrollment for the operator
	Kinds           []work.Name
	Network, Region string
	Bond            math.Int
	// Account is the address of the worker's own account, which is granted what lets it
	// look after its pay by itself; empty for no grants.
	Account  string
	FeeLimit math.Int // the fees that it may spend of the operator's
}

// Enroll enrols those of an operator's workers that aren't yet, in one transaction, and
// registers the operator first where needed. Accounts get the grants that they lack in the
// same transaction, also those of workers that were enrolled before. It returns how many
// workers were new.
func Enroll(ctx context.Context, c *client.Client, v View, operator keys.Account, workers []Enrollment) (int, error) {
	addr := operator.Address.String()
	m := &types.MsgEnrollWorkers{Operator: addr}
	for _, w := range workers {
		if _, err := v.WorkerRecord(ctx, w.Key); err == nil {
			continue
		} else if !NotFound(err) {
			return 0, err
		}
		names := make([]string, len(w.Kinds))
		for i, k := range w.Kinds {
			names[i] = string(k)
		}
		m.Workers = append(m.Workers, types.Enrollment{Key: w.Key[:], Kinds: names, Network: w.Network, Region: w.Region, Bond: w.Bond, Signature: w.Signature})
	}
	var msgs []sdk.Msg
	if len(m.Workers) > 0 {
		if _, err := v.Work.Operator(ctx, &types.QueryOperatorRequest{Address: addr}); NotFound(err) {
			msgs = append(msgs, &types.MsgRegisterOperator{Operator: addr, Moniker: operator.Name})
		} else if err != nil {
			return 0, fmt.Errorf("read operator %s: %w", operator.Name, err)
		}
		msgs = append(msgs, m)
	}
	grants, err := grant(ctx, c, operator, workers)
	if err != nil {
		return 0, err
	}
	if msgs = append(msgs, grants...); len(msgs) == 0 {
		return 0, nil
	}
	_, err = c.Send(ctx, operator.Name, msgs...)
	return len(m.Workers), err
}

// SetCells makes these a gateway's cells, unless they are already.
func SetCells(ctx context.Context, c *client.Client, v View, owner keys.Account, cells []work.Cell) error {
	addr := owner.Address.String()
	known, err := v.GatewayRecord(ctx, addr)
	if err != nil {
		return err
	}
	g, err := PlainGateway(known)
	if err != nil {
		return err
	}
	if slices.Equal(g.Cells, cells) {
		return nil
	}
	m := &types.MsgSetCells{Address: addr}
	for _, cell := range cells {
		m.Cells = append(m.Cells, types.Cell{Name: cell.Name, Url: cell.URL, Address: cell.Address})
	}
	_, err = c.Send(ctx, owner.Name, m)
	return err
}
