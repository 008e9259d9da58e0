package market

import (
	"context"
	"fmt"
	"slices"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/types/query"
	"github.com/cosmos/cosmos-sdk/x/authz"
	"github.com/cosmos/cosmos-sdk/x/feegrant"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/client"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// A worker's account holds no funds. Its operator lets it send two messages in the
// operator's name, the challenge of a gateway that underpays and the dispute of a receipt
// that it found false, and pays the fees of those and of what anybody may send. Nothing else
// can be done with a stolen key.
var (
	inOperatorsName = []string{sdk.MsgTypeURL(&types.MsgChallengeVoucher{}), sdk.MsgTypeURL(&types.MsgOpenDispute{})}
	atOperatorsCost = []string{
		sdk.MsgTypeURL(&authz.MsgExec{}), sdk.MsgTypeURL(&types.MsgCommitVerdicts{}),
		sdk.MsgTypeURL(&types.MsgRevealVerdicts{}), sdk.MsgTypeURL(&types.MsgClaim{}),
		sdk.MsgTypeURL(&types.MsgAnswerDispute{}), sdk.MsgTypeURL(&types.MsgDescend{}),
		sdk.MsgTypeURL(&types.MsgDecide{}), sdk.MsgTypeURL(&types.MsgContradict{}),
	}
)

// granted is what an operator's grantees have, by address.
type granted struct {
	names map[granteeMsg]bool // may be sent in the operator's name
	fees  map[string]bool     // whether the operator pays for all of atOperatorsCost; there may be less
}

type granteeMsg struct{ grantee, msg string }

func readGrants(ctx context.Context, c *client.Client, operator string) (granted, error) {
	g := granted{names: map[granteeMsg]bool{}, fees: map[string]bool{}}
	authorizations, err := all(ctx, func(p *query.PageRequest) ([]*authz.GrantAuthorization, *query.PageResponse, error) {
		r, err := authz.NewQueryClient(c.Conn()).GranterGrants(ctx, &authz.QueryGranterGrantsRequest{Granter: operator, Pagination: p})
		if err != nil {
			return nil, nil, err
		}
		return r.Grants, r.Pagination, nil
	})
	if err != nil {
		return g, fmt.Errorf("read what %s has authorized: %w", operator, err)
	}
	for _, a := range authorizations {
		var generic authz.GenericAuthorization
		if a.Authorization.GetTypeUrl() != sdk.MsgTypeURL(&generic) {
			continue
		}
		if err := generic.Unmarshal(a.Authorization.Value); err != nil {
			return g, fmt.Errorf("read what %s has authorized %s to do: %w", operator, a.Grantee, err)
		}
		g.names[granteeMsg{a.Grantee, generic.Msg}] = true
	}
	allowances, err := all(ctx, func(p *query.PageRequest) ([]*feegrant.Grant, *query.PageResponse, error) {
		r, err := feegrant.NewQueryClient(c.Conn()).AllowancesByGranter(ctx, &feegrant.QueryAllowancesByGranterRequest{Granter: operator, Pagination: p})
		if err != nil {
			return nil, nil, err
		}
		return r.Allowances, r.Pagination, nil
	})
	if err != nil {
		return g, fmt.Errorf("read whose fees %s pays: %w", operator, err)
	}
	for _, a := range allowances {
		var allowed feegrant.AllowedMsgAllowance
		enough := a.Allowance.GetTypeUrl() != sdk.MsgTypeURL(&allowed) // the operator's own doing, for any message
		if !enough {
			if err := allowed.Unmarshal(a.Allowance.Value); err != nil {
				return g, fmt.Errorf("read which fees of %s %s pays: %w", a.Grantee, operator, err)
			}
			enough = !slices.ContainsFunc(atOperatorsCost, func(m string) bool { return !slices.Contains(allowed.AllowedMessages, m) })
		}
		g.fees[a.Grantee] = enough
	}
	return g, nil
}

// grant makes the messages that give workers' accounts what they lack.
func grant(ctx context.Context, c *client.Client, operator keys.Account, workers []Enrollment) ([]sdk.Msg, error) {
	var msgs []sdk.Msg
	var has *granted
	for _, w := range workers {
		if w.Account == "" {
			continue
		}
		if has == nil {
			g, err := readGrants(ctx, c, operator.Address.String())
			if err != nil {
				return nil, err
			}
			has = &g
		}
		account, err := sdk.AccAddressFromBech32(w.Account)
		if err != nil {
			return nil, fmt.Errorf("the account of worker %s: %w", w.Key.Short(), err)
		}
		for _, name := range inOperatorsName {
			if has.names[granteeMsg{w.Account, name}] {
				continue
			}
			m, err := authz.NewMsgGrant(operator.Address, account, authz.NewGenericAuthorization(name), nil)
			if err != nil {
				return nil, fmt.Errorf("authorize the account of worker %s: %w", w.Key.Short(), err)
			}
			msgs = append(msgs, m)
			has.names[granteeMsg{w.Account, name}] = true // it may be named twice
		}
		if enough, some := has.fees[w.Account]; !enough {
			if some { // from before there were disputes
				revoke := feegrant.NewMsgRevokeAllowance(operator.Address, account)
				msgs = append(msgs, &revoke)
			}
			allowance, err := feegrant.NewAllowedMsgAllowance(&feegrant.BasicAllowance{SpendLimit: chain.Coins(w.FeeLimit)}, atOperatorsCost)
			if err != nil {
				return nil, fmt.Errorf("pay the fees of worker %s: %w", w.Key.Short(), err)
			}
			m, err := feegrant.NewMsgGrantAllowance(allowance, operator.Address, account)
			if err != nil {
				return nil, fmt.Errorf("pay the fees of worker %s: %w", w.Key.Short(), err)
			}
			msgs = append(msgs, m)
		}
		has.fees[w.Account] = true
	}
	return msgs, nil
}

// Unbond asks for the bonds of an operator's workers back and takes from their accounts
// what they were granted, all in one transaction. accounts may hold fewer than keys.
func Unbond(ctx context.Context, c *client.Client, operator keys.Account, workers []work.PublicKey, accounts []string) (release int64, err error) {
	m := &types.MsgUnbondWorkers{Operator: operator.Address.String()}
	for _, k := range workers {
		m.Keys = append(m.Keys, k[:])
	}
	msgs := []sdk.Msg{m}
	has, err := readGrants(ctx, c, operator.Address.String())
	if err != nil {
		return 0, err
	}
	for _, a := range accounts {
		account, err := sdk.AccAddressFromBech32(a)
		if err != nil {
			return 0, fmt.Errorf("a worker's account %.80q: %w", a, err)
		}
		for _, name := range inOperatorsName {
			if has.names[granteeMsg{a, name}] {
				revoke := authz.NewMsgRevoke(operator.Address, account, name)
				msgs = append(msgs, &revoke)
			}
		}
		if _, some := has.fees[a]; some {
			revoke := feegrant.NewMsgRevokeAllowance(operator.Address, account)
			msgs = append(msgs, &revoke)
		}
	}
	res, err := c.Send(ctx, operator.Name, msgs...)
	if err != nil {
		return 0, err
	}
	var reply types.MsgUnbondWorkersResponse
	err = res.Response(0, &reply)
	return reply.ReleaseHeight, err
}
