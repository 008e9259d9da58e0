package client_test

import (
	"context"
	"sync"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"
	sdk "github.com/cosmos/cosmos-sdk/types"
	sdkerrors "github.com/cosmos/cosmos-sdk/types/errors"

	"github.com/cantus-network/cantus/ledger/chain"
)

// Many callers of one key, with messages and calls of contracts: each gets what is its own,
// and those that ask for what can't be have it to themselves.
func TestManyCallersOfOneKey(t *testing.T) {
	c := connect(t)
	ctx := t.Context()
	alice, err := c.Address("alice")
	require.NoError(t, err)
	contracts, err := c.Contracts(ctx, "alice")
	require.NoError(t, err)
	to := sdk.AccAddress("many send to me here")
	const n = 36
	var wg sync.WaitGroup
	errs, hashes, responses := make([]error, n), make([]string, n), make([]error, n)
	for i := range n {
		wg.Go(func() {
			switch i % 4 {
			case 0:
				res, err := contracts.Call(ctx, common.BytesToAddress(to), nil)
				errs[i], hashes[i] = err, res.Hash
			case 1:
				_, errs[i] = c.Send(ctx, "alice", send(alice, to, chain.Notes(1_000_000)))
			case 2:
				res, err := c.Send(ctx, "alice", send(alice, to, math.OneInt()))
				errs[i], hashes[i] = err, res.Hash
			case 3:
				res, err := c.Send(ctx, "alice", send(alice, to, math.OneInt()), send(alice, to, math.OneInt()))
				errs[i], hashes[i] = err, res.Hash
				responses[i] = res.Response(2, nil)
			}
		})
	}
	wg.Wait()
	calls, sends := map[string]bool{}, map[string]bool{}
	for i, err := range errs {
		switch i % 4 {
		case 1:
			require.ErrorIs(t, err, sdkerrors.ErrInsufficientFunds)
			continue
		case 0:
			calls[hashes[i]] = true
		default:
			sends[hashes[i]] = true
		}
		require.NoError(t, err, "caller %d", i)
		if i%4 == 3 {
			require.ErrorContains(t, responses[i], "has 2 responses", "another caller's must not show")
		}
	}
	require.Len(t, calls, n/4)
	require.Less(t, len(sends), n/2, "messages that came together went together")
	got, err := c.Balance(ctx, to)
	require.NoError(t, err)
	require.EqualValues(t, 3*n/4, got.Int64())
}

func TestSendEndsWithItsContext(t *testing.T) {
	c := connect(t)
	bob, err := c.Address("bob")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = c.Send(ctx, "bob", send(bob, bob, math.OneInt()))
	require.ErrorIs(t, err, context.Canceled)
	_, err = c.Send(t.Context(), "bob", send(bob, bob, math.OneInt()))
	require.NoError(t, err, "what was given up is in nobody's way")
}

// One sends messages while the other calls: a node takes only one of these of a key at a time.
func TestSharedKeyOfBothKinds(t *testing.T) {
	one, two := connect(t), connect(t)
	bob, err := one.Address("bob")
	require.NoError(t, err)
	contracts, err := two.Contracts(t.Context(), "bob")
	require.NoError(t, err)
	var wg sync.WaitGroup
	var sent, called [6]error
	wg.Go(func() {
		for i := range sent {
			_, sent[i] = one.Send(t.Context(), "bob", send(bob, bob, math.OneInt()))
		}
	})
	wg.Go(func() {
		for i := range called {
			_, called[i] = contracts.Call(t.Context(), common.BytesToAddress(bob), nil)
		}
	})
	wg.Wait()
	for _, err := range append(sent[:], called[:]...) {
		require.NoError(t, err)
	}
}
