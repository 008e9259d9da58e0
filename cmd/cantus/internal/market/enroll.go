package market

import (
	"context"
	"errors"
	"fmt"

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
}

// Enroll enrols those of an operator's workers that aren't yet, in one transaction, and
// registers the operator first where needed. It returns how many were new.
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
	if len(m.Workers) == 0 {
		return 0, nil
	}
	msgs := []sdk.Msg{m}
	if _, err := v.Work.Operator(ctx, &types.QueryOperatorRequest{Address: addr}); NotFound(err) {
		msgs = []sdk.Msg{&types.MsgRegisterOperator{Operator: addr, Moniker: operator.Name}, m}
	} else if err != nil {
		return 0, fmt.Errorf("read operator %s: %w", operator.Name, err)
	}
	_, err := c.Send(ctx, operator.Name, msgs...)
	return len(m.Workers), err
}
