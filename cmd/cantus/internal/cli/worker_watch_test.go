package cli_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	sdk "github.com/cosmos/cosmos-sdk/types"
	"github.com/cosmos/cosmos-sdk/x/authz"
	banktypes "github.com/cosmos/cosmos-sdk/x/bank/types"
	"github.com/cosmos/cosmos-sdk/x/feegrant"

	"github.com/cantus-network/cantus/cmd/cantus/internal/cli"
	"github.com/cantus-network/cantus/cmd/cantus/internal/localnet"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/gateway"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/ledger/keys"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/scheduler"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
	"github.com/cantus-network/cantus/worker/witness"
)

// thief is a gateway's ledger that commits half of what its one worker earned to a friend,
// and tells the gateway's own scheduler otherwise.
type thief struct {
	scheduler.Ledger
	victim, friend work.PublicKey
	told           *sync.Map // of epochID: the pay root as the scheduler made it
}

type epochID struct {
	job    work.JobID
	number uint64
}

func (l thief) Epoch(ctx context.Context, job work.JobID, number uint64) (work.Epoch, error) {
	e, err := l.Ledger.Epoch(ctx, job, number)
	if root, ok := l.told.Load(epochID{job, number}); ok && err == nil {
		e.Pay = root.(work.Root)
	}
	return e, err
}

func (l thief) CommitEpoch(ctx context.Context, c scheduler.Commitment) error {
	l.told.Store(epochID{c.Job, c.Number}, c.Pay)
	leaves := []struct {
		key   work.PublicKey
		units uint64
	}{{l.victim, c.Pay.Sum / 2}, {l.friend, c.Pay.Sum - c.Pay.Sum/2}}
	slices.SortFunc(leaves, func(a, b struct {
		key   work.PublicKey
		units uint64
	}) int {
		return a.key.Compare(b.key)
	})
	tree, err := work.NewTree([]work.Node{work.PayLeaf(leaves[0].key, leaves[0].units), work.PayLeaf(leaves[1].key, leaves[1].units)})
	if err != nil {
		return err
	}
	c.Pay = tree.Root()
	return l.Ledger.CommitEpoch(ctx, c)
}

// fund makes an account with notes.
func (w *world) fund(name string, notes int64) keys.Account {
	_, err := keys.Create(w.ring, name)
	require.NoError(w.t, err)
	a, err := keys.Find(w.ring, name)
	require.NoError(w.t, err)
	treasury, err := keys.Find(w.ring, localnet.AccountBuyer)
	require.NoError(w.t, err)
	_, err = w.client.Send(w.t.Context(), treasury.Name, &banktypes.MsgSend{
		FromAddress: treasury.Address.String(), ToAddress: a.Address.String(), Amount: chain.Coins(chain.Notes(notes)),
	})
	require.NoError(w.t, err)
	return a
}

// key runs the command that makes a worker's keys, in a home of the worker's own.
func (w *world) key(args ...string) []byte {
	var out bytes.Buffer
	c := cli.Root("test")
	c.SetOut(&out)
	c.SetArgs(append([]string{"worker", "key"}, args...))
	require.NoError(w.t, c.ExecuteContext(w.t.Context()))
	return out.Bytes()
}

// A worker that is paid less than its voucher promised challenges its gateway without being
// asked, and is paid from the gateway's bond. It holds no funds of its own.
func TestUnderpaidWorkerChallengesByItself(t *testing.T) {
	w := startWorld(t, 2)
	ctx := t.Context()
	owner, operator := w.fund("thief", 5000), w.fund("victim", 1000)
	params, err := w.Params(ctx)
	require.NoError(t, err)

	// The worker's home, as its owner makes it, enrolled by its operator.
	dir := filepath.Join(t.TempDir(), "home")
	w.key("--home", dir)
	out := w.run("worker", "enroll", dir, "--from", operator.Name, "--network", "elsewhere")
	require.Contains(t, string(out), "1 workers enrolled")
	key, err := worker.LoadKey(filepath.Join(dir, "node.key"))
	require.NoError(t, err)
	account, err := witness.LoadAccount(filepath.Join(dir, "account.key"))
	require.NoError(t, err)

	gatewayKey, err := work.GenerateKey(rand.Reader)
	require.NoError(t, err)
	friend, err := work.GenerateKey(rand.Reader)
	require.NoError(t, err)
	honest := market.NewLedger(w.View, market.NewChain(w.client, owner.Name), owner.Address.String())
	g, err := gateway.New(gateway.Config{
		Chain: w.client.ChainID(), Address: owner.Address.String(), Key: gatewayKey, FeeBps: 500, Dir: t.TempDir(), Kinds: kinds(t, w.home.Models()),
		Ledger: thief{honest, key.Public(), friend.Public(), &sync.Map{}}, AllowLoopback: true, Log: slog.New(slog.DiscardHandler),
	})
	require.NoError(t, err)
	require.NoError(t, market.RegisterGateway(ctx, w.client, w.View, owner, gatewayKey, g.URL(), 500, params.MinGatewayBond))
	serve, stop := context.WithCancel(ctx)
	served := make(chan error, 1)
	go func() { served <- g.Run(serve) }()
	t.Cleanup(func() { stop(); <-served; require.NoError(t, g.Close()) })

	ledger, err := witness.New(witness.Options{URLs: []string{w.net.Info().REST}, Account: account})
	require.NoError(t, err)
	cfg := worker.Config{Gateway: g.URL(), Key: key, Dir: filepath.Join(dir, "state"), Kinds: kinds(t, w.home.Models()), Drain: time.Second,
		Ledger: ledger, LedgerEvery: time.Second}
	if os.Getenv("CANTUS_TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	wk, err := worker.New(cfg)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() { done <- wk.Run(serve) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-done) })

	crawl, cancel := context.WithCancel(ctx)
	crawled := make(chan error, 1)
	c := cli.Root("test")
	c.SetOut(io.Discard)
	c.SetArgs(append([]string{"crawl", "--gateway", g.URL(), "--out", filepath.Join(t.TempDir(), "d"), "--epoch", "5", "--home", string(w.home), "--json"}, sites(t, 4, 6)...))
	go func() { crawled <- c.ExecuteContext(crawl) }()
	t.Cleanup(func() { cancel(); <-crawled })

	// The challenge is the operator's, the deposit too; it comes back with the pay.
	var job types.Job
	var claimed types.Claimed
	require.Eventually(t, func() bool {
		jobs, err := w.JobRecords(ctx, "", owner.Address.String(), false)
		if err != nil || len(jobs) == 0 {
			return false
		}
		job = jobs[0]
		claimed, err = w.Claimed(ctx, work.JobID(job.Id), key.Public())
		return err == nil && claimed.Units > 0 && job.Status == types.JobStatus_JOB_STATUS_FAULTED
	}, 2*time.Minute, 100*time.Millisecond, "the worker was never paid from the bond")
	require.Greater(t, claimed.Units, job.UnitsSettled, "it was paid from the bond")
	record, err := w.GatewayRecord(ctx, owner.Address.String())
	require.NoError(t, err)
	require.Equal(t, uint64(1), record.Faults)
	slashed := params.MinGatewayBond.MulRaw(int64(params.GatewayFaultSlashBps)).QuoRaw(10_000)
	owed := job.WorkerPrice.MulRaw(int64(claimed.Units))
	require.True(t, record.Bond.LTE(params.MinGatewayBond.Sub(slashed)), "its bond is %s", record.Bond)
	require.True(t, record.Bond.LT(params.MinGatewayBond.Sub(slashed)) || claimed.Drawn > 0, "nothing of %s was paid from its bond of %s", owed, record.Bond)
	balance, err := w.client.Balance(ctx, sdk.MustAccAddressFromBech32(account.Address()))
	require.NoError(t, err)
	require.True(t, balance.IsZero(), "the worker holds no funds")
	books, err := w.Books(ctx)
	require.NoError(t, err)
	require.True(t, books.Ok, "%v", books.Broken)
}

// A fleet is enrolled in one transaction with what its accounts are granted, again without
// effect, and leaves in one, grants and all.
func TestFleet(t *testing.T) {
	w := startWorld(t, 1)
	ctx := t.Context()
	operator := w.fund("fleet", 2000)
	home := t.TempDir()
	const here, there = 4, 2
	for i := range here {
		w.key("--home", filepath.Join(home, "fleet", fmt.Sprint(i)))
	}
	var list bytes.Buffer
	for i := range there {
		list.Write(w.key("--home", filepath.Join(home, fmt.Sprint("far-", i)), "--line",
			"--enroll", w.client.ChainID()+","+operator.Address.String()))
	}
	file := filepath.Join(home, "fleet.txt")
	require.NoError(t, os.WriteFile(file, list.Bytes(), 0o600))
	grants := func() (int, int) {
		a, err := authz.NewQueryClient(w.client.Conn()).GranterGrants(ctx, &authz.QueryGranterGrantsRequest{Granter: operator.Address.String()})
		require.NoError(t, err)
		f, err := feegrant.NewQueryClient(w.client.Conn()).AllowancesByGranter(ctx, &feegrant.QueryAllowancesByGranterRequest{Granter: operator.Address.String()})
		require.NoError(t, err)
		return len(a.Grants), len(f.Allowances)
	}
	for _, want := range []string{"6 workers enrolled", "0 workers enrolled"} {
		out := w.run("worker", "enroll", filepath.Join(home, "fleet"), "--list", file, "--from", operator.Name, "--grant-limit", "0.5note")
		require.Contains(t, string(out), want)
		a, f := grants()
		require.Equal(t, 2*(here+there), a, "challenges and disputes")
		require.Equal(t, here+there, f)
	}
	out := w.run("worker", "unbond", filepath.Join(home, "fleet"), "--list", file, "--from", operator.Name)
	require.Contains(t, string(out), "6 workers leave")
	a, f := grants()
	require.Zero(t, a+f)
	ws, err := w.WorkerRecords(ctx, operator.Address.String(), "")
	require.NoError(t, err)
	require.Len(t, ws, here+there)
	for _, r := range ws {
		require.Equal(t, types.Status_STATUS_UNBONDING, r.Status)
	}
}
