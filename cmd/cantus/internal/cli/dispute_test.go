package cli_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdkmath "cosmossdk.io/math"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/modelfile"
	"github.com/cantus-network/cantus/exact/referee"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/kinds/all"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/models"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
	"github.com/cantus-network/cantus/worker/witness"
)

// litigant is a worker of an operator of its own that plays its disputes by itself, with a
// kind that the test has made something of.
func (w *world) litigant(name string, kind work.Kind) work.PublicKey {
	t := w.t
	operator := w.fund(name, 1000)
	dir := filepath.Join(t.TempDir(), name)
	w.key("--home", dir)
	w.run("worker", "enroll", dir, "--from", operator.Name, "--network", name, "--kinds", string(infer.Name))
	key, err := worker.LoadKey(filepath.Join(dir, "node.key"))
	require.NoError(t, err)
	account, err := witness.LoadAccount(filepath.Join(dir, "account.key"))
	require.NoError(t, err)
	ledger, err := witness.New(witness.Options{URLs: []string{w.net.Info().REST}, Account: account})
	require.NoError(t, err)
	cfg := worker.Config{
		Gateway: w.net.Info().Gateway, Key: key, Dir: filepath.Join(dir, "state"), Kinds: []work.Kind{kind}, Drain: time.Second,
		Ledger: ledger, LedgerEvery: time.Second, AuditsEvery: time.Second,
	}
	if os.Getenv("CANTUS_TEST_LOG") != "" {
		cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, nil)).With("worker", name)
	}
	wk, err := worker.New(cfg)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- wk.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return key.Public()
}

func (w *world) infer() *infer.Kind {
	list := kinds(w.t, w.home.Models())
	return list[slices.IndexFunc(list, func(k work.Kind) bool { return k.Name() == infer.Name })].(*infer.Kind)
}

// fraud changes what it answers, and, if it is stubborn, swears to it: its trace has a step
// that is not so.
type fraud struct {
	*infer.Kind
	lie      func(work.Task, work.Result) (work.Result, error)
	finds    work.AuditOutcome // of whatever it audits; 0 for what is so
	stubborn bool
}

func (l fraud) Execute(ctx context.Context, env work.Env, t work.Task) (work.Result, error) {
	env.Stream = silent{env.Stream} // what it shows meanwhile would give it away
	r, err := l.Kind.Execute(ctx, env, t)
	if err != nil || l.lie == nil {
		return r, err
	}
	return l.lie(t, r)
}

type silent struct{ work.Stream }

func (silent) Send([]byte) {}

func (l fraud) Verify(ctx context.Context, env work.Env, t work.Task, r work.Result) (work.Verdict, error) {
	if l.finds != 0 {
		return work.Verdict{Outcome: l.finds, Label: work.Replayed, Reason: "as always"}, nil
	}
	return l.Kind.Verify(ctx, env, t, r)
}

func (l fraud) Trace(ctx context.Context, t work.Task, r work.Result) (work.Trace, error) {
	trace, err := l.Kind.Trace(ctx, t, r)
	if err != nil || !l.stubborn {
		return trace, err
	}
	return &perjury{trace, l.finds == work.Fail}, nil
}

// perjury is a trace whose first step is not what it is.
type perjury struct {
	work.Trace
	accuses bool
}

// Contradiction claims one of another's result, and does not tell on its own.
func (p *perjury) Contradiction(context.Context) (uint64, []byte, bool, error) {
	return 0, nil, p.accuses, nil
}

func (p *perjury) Children(ctx context.Context, level uint32, node uint64) ([]artifact.Digest, error) {
	list, err := p.Trace.Children(ctx, level, node)
	if err != nil || node != 0 {
		return list, err
	}
	if level == 1 {
		list[0][0] ^= 1
		return list, nil
	}
	list[0], err = p.hash(ctx, level-1)
	return list, err
}

// hash is that of the first node of a level above the steps.
func (p *perjury) hash(ctx context.Context, level uint32) (artifact.Digest, error) {
	list, err := p.Children(ctx, level, 0)
	return artifact.Digest(parent(list)), err
}

func (p *perjury) Root(ctx context.Context) (artifact.Digest, error) {
	root, err := p.Trace.Root(ctx)
	if err != nil {
		return root, err
	}
	for level := uint32(1); ; level++ {
		list, err := p.Trace.Children(ctx, level, 0)
		if err != nil {
			return root, err
		}
		if artifact.Digest(parent(list)) == root {
			return p.hash(ctx, level)
		}
	}
}

func parent(list []artifact.Digest) referee.Digest {
	hashes := make([]referee.Digest, len(list))
	for i, d := range list {
		hashes[i] = referee.Digest(d)
	}
	return referee.Parent(hashes)
}

// oneToken changes the middle token of an answer.
func oneToken(t work.Task, r work.Result) (work.Result, error) {
	c, err := claim.DecodeResult(r.Body)
	if err != nil || len(c.Output) < 2 {
		return r, err
	}
	c.Output[len(c.Output)/2] ^= 1
	b, err := c.Encode()
	return work.Result{Body: b}, err
}

// oldAnswer gives the first answer again and again.
func oldAnswer() func(work.Task, work.Result) (work.Result, error) {
	var mu sync.Mutex
	var first []byte
	return func(_ work.Task, r work.Result) (work.Result, error) {
		mu.Lock()
		defer mu.Unlock()
		if first == nil {
			first = r.Body
		}
		return work.Result{Body: first}, nil
	}
}

// altered is the directory of models of one who serves others under the names of the right
// ones.
type altered struct {
	infer.Models
	edit func(part modelfile.Part, layer int, weights []byte)
}

func (a altered) Load(root artifact.Digest) (*model.Model, error) {
	f, size, err := a.File(root)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	file, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		return nil, err
	}
	card, err := a.Open(root)
	if err != nil {
		return nil, err
	}
	right, err := a.Models.Load(root)
	if err != nil {
		return nil, err
	}
	layout, err := modelfile.NewLayout(&card.Config, int64(len(right.Tokenizer)))
	if err != nil {
		return nil, err
	}
	for layer := range card.Config.Layers {
		for _, part := range []modelfile.Part{modelfile.Query, modelfile.Key, modelfile.Value, modelfile.AttnOut, modelfile.Gate, modelfile.Up, modelfile.Down} {
			for row := 0; ; row++ {
				weights, _, err := layout.Row(part, layer, row)
				if err != nil {
					break // past the last one
				}
				a.edit(part, layer, file[weights.Offset:weights.Offset+weights.Length])
			}
		}
	}
	m, err := model.Load(bytes.NewReader(file), size)
	if err == nil {
		m.Root = modelfile.Digest(root)
	}
	return m, err
}

// quantised has 4 bits of each weight.
func quantised(_ modelfile.Part, _ int, weights []byte) {
	for i, b := range weights {
		weights[i] = byte(int8(b) / 16 * 16)
	}
}

// skipped adds nothing to the residual in the last two layers, as if they were not there.
func skipped(layers int) func(modelfile.Part, int, []byte) {
	return func(part modelfile.Part, layer int, weights []byte) {
		if layer >= layers-2 && (part == modelfile.AttnOut || part == modelfile.Down) {
			clear(weights)
		}
	}
}

// disputes lists those about a worker's receipts, over or not.
func (w *world) disputes(tab openedTab, key work.PublicKey) []types.Dispute {
	r, err := types.NewQueryClient(w.client.Conn()).Disputes(w.t.Context(), &types.QueryDisputesRequest{})
	require.NoError(w.t, err)
	return slices.DeleteFunc(r.Disputes, func(d types.Dispute) bool { return d.Job != tab.Job || !bytes.Equal(d.Worker, key[:]) })
}

// disputesOf waits until there are disputes about a worker's receipts and all are over.
func (w *world) disputesOf(tab openedTab, key work.PublicKey, name string) []types.Dispute {
	for {
		list := w.disputes(tab, key)
		if len(list) > 0 && !slices.ContainsFunc(list, func(d types.Dispute) bool { return d.ClosedHeight == 0 }) {
			return list
		}
		if deadline, ok := w.t.Deadline(); ok && time.Until(deadline) < time.Minute {
			w.t.Fatalf("%s: no dispute about the worker came to its end: %+v", name, list)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

// report logs what a dispute took.
func report(t *testing.T, what string, ds []types.Dispute) {
	for _, d := range ds {
		t.Logf("%s: dispute %d: %s after %d rounds, %d bytes, %d blocks: %s (proved: %v)", what, d.Id, d.Status, d.Rounds, d.Bytes, d.ClosedHeight-d.OpenedHeight, d.Reason, d.Proved)
	}
}

// Workers that serve altered models, skip layers, change a token or give an old answer
// are found out by replay, disputed, and lose their bonds on the ledger, whether they swear to
// their lies or leave it at them.
func TestLiesAreDecidedOnTheLedger(t *testing.T) {
	w := inferWorld(t, 3)
	p, err := w.Params(t.Context())
	require.NoError(t, err)
	liars := map[work.PublicKey]string{}
	for name, kind := range map[string]work.Kind{
		"a token changed":    fraud{Kind: w.infer(), lie: oneToken, stubborn: true},
		"an old answer":      fraud{Kind: w.infer(), lie: oldAnswer(), stubborn: true},
		"a quantised model":  fraud{Kind: w.serving(quantised), stubborn: true},
		"layers skipped":     fraud{Kind: w.serving(skipped(w.layers())), stubborn: true},
		"a token undefended": fraud{Kind: w.infer(), lie: oneToken},
	} {
		liars[w.litigant(strings.ReplaceAll(name, " ", "-"), kind)] = name
	}
	bonds := map[work.PublicKey]sdkmath.Int{}
	for key := range liars {
		r, err := w.WorkerRecord(t.Context(), key)
		require.NoError(t, err)
		bonds[key] = r.Bond
	}
	tab := w.openTab("--audit", "100", "--epoch", "10")
	// Not each answer is drawn, and the first of the old answers is a right one.
	for round := 0; ; round++ {
		var free []string
		for key, name := range liars {
			if len(w.disputes(tab, key)) == 0 {
				free = append(free, name)
			}
		}
		if len(free) == 0 {
			break
		}
		require.Less(t, round, 200, "nobody disputes %v", free)
		var asked sync.WaitGroup
		for i := range 8 {
			asked.Go(func() { _, _ = tab.Ask(t.Context(), hot(int64(round*8+i), 24), nil) }) // those of the jailed are lost
		}
		asked.Wait()
		time.Sleep(200 * time.Millisecond) // epochs and verdicts take their blocks
	}
	for key, name := range liars {
		ds := w.disputesOf(tab, key, name)
		report(t, name, ds)
		require.True(t, slices.ContainsFunc(ds, func(d types.Dispute) bool { return d.Status == types.DisputeStatus_DISPUTE_STATUS_WON }), "%s: nobody won", name)
		r, err := w.WorkerRecord(t.Context(), key)
		require.NoError(t, err)
		require.True(t, r.Bond.LT(p.MinWorkerBond), "%s: the bond is still %s", name, r.Bond)
	}
	a := w.closeTab(tab)
	require.NotZero(t, a.False)
	earned := map[work.PublicKey]sdkmath.Int{}
	for _, e := range a.Earned {
		earned[e.Worker] = e.Amount
	}
	rs, err := w.WorkerRecords(t.Context(), "", infer.Name)
	require.NoError(t, err)
	for _, r := range rs {
		key := work.PublicKey(r.Key)
		name, lied := liars[key]
		if !lied {
			// On a machine that is busy verdicts may come too late, each for a thousandth; what is
			// found false would cost half.
			require.Equal(t, types.Status_STATUS_ACTIVE, r.Status)
			require.Zero(t, r.AuditsFailed)
			require.True(t, r.Bond.GTE(p.MinWorkerBond.MulRaw(6).QuoRaw(10)), "an honest worker's bond is %s", r.Bond)
			continue
		}
		// What was not drawn is paid, and is little beside what its lies cost it.
		if pay, ok := earned[key]; ok {
			require.True(t, pay.LT(bonds[key].Sub(r.Bond)), "%s was paid %s, and its bond went from %s to %s", name, pay, bonds[key], r.Bond)
		}
	}
}

// An auditor who swears that an honest answer is false loses its deposit to the worker, who
// defends itself, is paid and keeps its bond.
func TestAFalseAccusationIsDearForTheAccuser(t *testing.T) {
	w := inferWorld(t, 3)
	accuser := w.litigant("accuser", fraud{Kind: w.infer(), finds: work.Fail, stubborn: true})
	before, err := w.WorkerRecord(t.Context(), accuser)
	require.NoError(t, err)
	tab := w.openTab("--audit", "100", "--epoch", "10")
	var ds []types.Dispute
	for round := 0; len(ds) == 0; round++ {
		require.Less(t, round, 200, "the accuser audited nothing")
		for i := range 4 {
			_, err := tab.Ask(t.Context(), hot(int64(round*4+i), 16), nil)
			require.NoError(t, err)
		}
		r, err := types.NewQueryClient(w.client.Conn()).Disputes(t.Context(), &types.QueryDisputesRequest{})
		require.NoError(t, err)
		ds = r.Disputes
		time.Sleep(200 * time.Millisecond) // epochs and verdicts take their blocks
	}
	worker := work.PublicKey(ds[0].Worker)
	ds = w.disputesOf(tab, worker, "accused")
	report(t, "false accusation", ds)
	for _, d := range ds {
		require.Equal(t, types.DisputeStatus_DISPUTE_STATUS_LOST, d.Status)
		require.Equal(t, before.Operator, d.Challenger)
	}
	a := w.closeTab(tab)
	require.Zero(t, a.False)
	r, err := w.WorkerRecord(t.Context(), worker)
	require.NoError(t, err)
	require.Equal(t, types.Status_STATUS_ACTIVE, r.Status)
	require.Zero(t, r.AuditsFailed)
	require.True(t, r.Bond.GTE(before.Bond.MulRaw(6).QuoRaw(10)), "the honest worker's bond is %s", r.Bond)
}

// serving is the kind of one who serves altered models.
func (w *world) serving(edit func(modelfile.Part, int, []byte)) *infer.Kind {
	k, err := infer.New(infer.Options{Models: altered{all.Models(w.home.Models()), edit}})
	require.NoError(w.t, err)
	w.t.Cleanup(k.Close)
	return k
}

func (w *world) layers() int {
	h, err := modeldir.At(w.home.Models()).Open(models.DemoName)
	require.NoError(w.t, err)
	return h.Config.Layers
}
