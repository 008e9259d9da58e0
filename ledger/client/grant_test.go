package client_test

import (
	"context"
	"crypto/sha256"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/cosmos/cosmos-sdk/client/tx"
	sdk "github.com/cosmos/cosmos-sdk/types"
	txtypes "github.com/cosmos/cosmos-sdk/types/tx"
	"github.com/cosmos/cosmos-sdk/types/tx/signing"
	authtypes "github.com/cosmos/cosmos-sdk/x/auth/types"
	"github.com/cosmos/cosmos-sdk/x/authz"
	"github.com/cosmos/cosmos-sdk/x/feegrant"

	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/client"
	"github.com/cantus-network/cantus/ledger/encoding"
	"github.com/cantus-network/cantus/ledger/keys"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/work"
)

// grantee is an account that owns nothing and signs for itself: its fees are another's.
type grantee struct {
	t    *testing.T
	name string
	addr sdk.AccAddress
	conn *grpc.ClientConn
}

// send signs and sends messages whose fee the granter pays, and returns what the ledger
// said when it ran them.
func (g *grantee) send(granter sdk.AccAddress, msgs ...sdk.Msg) *sdk.TxResponse {
	g.t.Helper()
	ctx := g.t.Context()
	enc := encoding.New(chain.DefaultEVMChainID)
	r, err := authtypes.NewQueryClient(g.conn).Account(ctx, &authtypes.QueryAccountRequest{Address: g.addr.String()})
	require.NoError(g.t, err)
	var acc sdk.AccountI
	require.NoError(g.t, enc.Registry.UnpackAny(r.Account, &acc))
	f := tx.Factory{}.WithTxConfig(enc.Tx).WithKeybase(network.ring).WithFromName(g.name).WithChainID(chain.DevnetID).
		WithAccountNumber(acc.GetAccountNumber()).WithSequence(acc.GetSequence()).WithSignMode(signing.SignMode_SIGN_MODE_DIRECT).
		WithGas(400_000).WithFees(chain.Coins(chain.Notes(1).QuoRaw(100)).String()).WithFeeGranter(granter)
	b, err := f.BuildUnsignedTx(msgs...)
	require.NoError(g.t, err)
	require.NoError(g.t, tx.Sign(ctx, f, g.name, b, true))
	raw, err := enc.Tx.TxEncoder()(b.GetTx())
	require.NoError(g.t, err)
	service := txtypes.NewServiceClient(g.conn)
	sent, err := service.BroadcastTx(ctx, &txtypes.BroadcastTxRequest{TxBytes: raw, Mode: txtypes.BroadcastMode_BROADCAST_MODE_SYNC})
	require.NoError(g.t, err)
	if sent.TxResponse.Code != 0 {
		return sent.TxResponse
	}
	wait, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		got, err := service.GetTx(wait, &txtypes.GetTxRequest{Hash: sent.TxResponse.TxHash})
		if err == nil {
			return got.TxResponse
		}
		require.NoError(g.t, wait.Err(), "the transaction is in no block: %v", err)
		time.Sleep(50 * time.Millisecond)
	}
}

func nodeKey(t *testing.T, name string) (work.PrivateKey, []byte) {
	t.Helper()
	seed := sha256.Sum256([]byte(name))
	k, err := work.PrivateKeyFromSeed(seed[:])
	require.NoError(t, err)
	pub := k.Public()
	return k, pub[:]
}

// job opens a job of alice's with a gateway of hers and a worker of bob's, and returns the
// gateway's voucher for a unit of the worker's, in an epoch that will never come.
func job(t *testing.T, c *client.Client) []byte {
	t.Helper()
	ctx := t.Context()
	alice, err := c.Address("alice")
	require.NoError(t, err)
	bob, err := c.Address("bob")
	require.NoError(t, err)
	gate, gatePub := nodeKey(t, "gate")
	hand, handPub := nodeKey(t, "hand")
	gateSig, err := gate.SignEnrollment(chain.DevnetID, alice.String())
	require.NoError(t, err)
	handSig, err := hand.SignEnrollment(chain.DevnetID, bob.String())
	require.NoError(t, err)
	_, err = c.Send(ctx, "bob",
		&worktypes.MsgRegisterOperator{Operator: bob.String()},
		&worktypes.MsgEnrollWorkers{Operator: bob.String(), Workers: []worktypes.Enrollment{
			{Key: handPub, Kinds: []string{"crawl/1"}, Bond: chain.Notes(100), Signature: handSig}}})
	require.NoError(t, err)
	spec := sha256.Sum256([]byte("spec"))
	_, err = c.Send(ctx, "val", send(must(t, c, "val"), alice, chain.Notes(400)))
	require.NoError(t, err)
	r, err := c.Send(ctx, "alice",
		&worktypes.MsgRegisterGateway{Address: alice.String(), Key: gatePub, Url: "http://127.0.0.1:1", Bond: chain.Notes(1000), Signature: gateSig},
		&worktypes.MsgOpenJob{Buyer: alice.String(), Gateway: alice.String(), Kind: "crawl/1", SpecDigest: spec[:], Escrow: chain.Notes(1),
			Price: chain.Notes(1).QuoRaw(100), AuditBps: 1000, EpochBlocks: 5, ExpiryBlocks: 100, MaxGatewayFeeBps: 2000})
	require.NoError(t, err)
	var opened worktypes.MsgOpenJobResponse
	require.NoError(t, r.Response(1, &opened))
	_, err = c.Send(ctx, "alice", &worktypes.MsgFinishJob{Gateway: alice.String(), Job: opened.Job})
	require.NoError(t, err)
	s, err := work.SignVoucher(gate, work.Voucher{Chain: chain.DevnetID, Job: work.JobID(opened.Job), Worker: hand.Public(), Epoch: 1, Units: 1})
	require.NoError(t, err)
	raw, err := s.Encode()
	require.NoError(t, err)
	return raw
}

func must(t *testing.T, c *client.Client, name string) sdk.AccAddress {
	t.Helper()
	a, err := c.Address(name)
	require.NoError(t, err)
	return a
}

// A worker's key that owns nothing challenges by its operator's leave: the operator grants
// it that one message and the fees for it, and puts down the deposit. The grant makes the
// key's account.
func TestChallengeByGrant(t *testing.T) {
	c := connect(t)
	ctx := t.Context()
	voucher := job(t, c)
	bob := must(t, c, "bob")
	_, err := keys.Create(network.ring, "helper")
	require.NoError(t, err)
	helper := must(t, c, "helper")
	conn, err := grpc.NewClient(network.node.Addrs().GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = authtypes.NewQueryClient(conn).Account(ctx, &authtypes.QueryAccountRequest{Address: helper.String()})
	require.Error(t, err, "the account does not exist yet")

	challenge := &worktypes.MsgChallengeVoucher{Challenger: bob.String(), Voucher: voucher}
	grant, err := authz.NewMsgGrant(bob, helper, authz.NewGenericAuthorization(sdk.MsgTypeURL(challenge)), nil)
	require.NoError(t, err)
	limited, err := feegrant.NewAllowedMsgAllowance(&feegrant.BasicAllowance{SpendLimit: chain.Coins(chain.Notes(1))},
		[]string{sdk.MsgTypeURL(&authz.MsgExec{})})
	require.NoError(t, err)
	fees, err := feegrant.NewMsgGrantAllowance(limited, bob, helper)
	require.NoError(t, err)
	_, err = c.Send(ctx, "bob", grant, fees)
	require.NoError(t, err)

	g := &grantee{t: t, name: "helper", addr: helper, conn: conn}
	before, err := c.Balance(ctx, bob)
	require.NoError(t, err)
	exec := authz.NewMsgExec(helper, []sdk.Msg{challenge})
	got := g.send(bob, &exec)
	require.Zero(t, got.Code, got.RawLog)
	after, err := c.Balance(ctx, bob)
	require.NoError(t, err)
	spent := before.Sub(after)
	require.True(t, spent.GT(chain.Notes(1)) && spent.LTE(chain.Notes(1).Add(chain.Notes(1).QuoRaw(100))), "the deposit and the fee: %s", spent)
	nothing, err := c.Balance(ctx, helper)
	require.NoError(t, err)
	require.True(t, nothing.IsZero())
	open, err := worktypes.NewQueryClient(conn).Challenges(ctx, &worktypes.QueryChallengesRequest{})
	require.NoError(t, err)
	require.Len(t, open.Challenges, 1)
	require.Equal(t, bob.String(), open.Challenges[0].Challenger, "who gets the deposit back")

	// It may do nothing else in the operator's name, and not pay for anything else with it.
	other := authz.NewMsgExec(helper, []sdk.Msg{&worktypes.MsgRegisterOperator{Operator: bob.String(), Moniker: "mine now"}})
	require.NotZero(t, g.send(bob, &other).Code)
	require.NotZero(t, g.send(bob, send(helper, helper, chain.Notes(1))).Code)
}
