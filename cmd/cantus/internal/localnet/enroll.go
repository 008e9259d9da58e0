package localnet

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/client"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker/witness"
)

// gatewayFeeBps is what the gateway of a one-machine network asks for: five per cent.
const gatewayFeeBps = 500

// enrollWorkers enrols worker n under operator n, those that aren't yet, all at once, and
// lets their accounts look after their pay.
func enrollWorkers(ctx context.Context, c *client.Client, v market.View, ring keys.Ring, workers []work.PrivateKey, accounts []*witness.Account, kinds []work.Name) error {
	p, err := v.Params(ctx)
	if err != nil {
		return err
	}
	errs := make([]error, len(workers))
	var wg sync.WaitGroup
	for i, k := range workers {
		operator, err := keys.Find(ring, operatorName(i+1))
		if err != nil {
			return err
		}
		sig, err := k.SignEnrollment(c.ChainID(), operator.Address.String())
		if err != nil {
			return err
		}
		wg.Go(func() {
			_, errs[i] = market.Enroll(ctx, c, v, operator, []market.Enrollment{{
				Key: k.Public(), Signature: sig, Kinds: kinds, Network: fmt.Sprintf("local-%d", i+1), Region: "local", Bond: p.MinWorkerBond,
				Account: accounts[i].Address(), FeeLimit: chain.Notes(1),
			}})
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
