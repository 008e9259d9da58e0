package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"cosmossdk.io/math"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/cmd/cantus/internal/ask"
	"github.com/cantus-network/cantus/cmd/cantus/internal/cli"
	"github.com/cantus-network/cantus/cmd/cantus/internal/localnet"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/kinds/infer"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/models"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

// inferWorld is a network whose machines hold the demo model.
func inferWorld(t *testing.T, workers int, set ...func(*localnet.Options)) *world {
	t.Helper()
	return startWorld(t, workers, append(set, func(o *localnet.Options) {
		_, err := modeldir.At(o.Home.Models()).Add(t.Context(), models.Demo(), modeldir.Options{Name: models.DemoName})
		require.NoError(t, err)
	})...)
}

// openedTab is a tab, and a client that pays by it.
type openedTab struct {
	Job   uint64
	Base  string `json:"base_url"`
	Key   string `json:"api_key"`
	Price string
	*ask.Client
}

func (w *world) openTab(args ...string) openedTab { return w.openTabOf(models.DemoName, args...) }

func (w *world) openTabOf(model string, args ...string) openedTab {
	var tab openedTab
	printed := w.run(append([]string{"tab", "open", "--models", model, "--json"}, args...)...)
	require.NoError(w.t, json.Unmarshal(printed, &tab))
	var err error
	tab.Client, err = ask.New(tab.Base, tab.Key)
	require.NoError(w.t, err)
	return tab
}

// hot is a request whose answer is long, and the same each time.
func hot(seed int64, tokens int) ask.Request {
	warm := 2.0
	return ask.Request{Model: models.DemoName, Prompt: "violin:", Seed: &seed, Temperature: &warm, MaxTokens: tokens}
}

// closeTab closes a tab, waits until its money is where it goes, and sees to the sums.
func (w *world) closeTab(tab openedTab) market.Account {
	t, ctx := w.t, w.t.Context()
	w.run("tab", "close", fmt.Sprint(tab.Job))
	var a market.Account
	for {
		require.NoError(t, ctx.Err())
		var err error
		a, err = w.AccountOf(ctx, work.JobID(tab.Job))
		require.NoError(t, err)
		if a.Status == string(work.JobClosed) && a.Balanced {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	same(t, a.Escrow, a.Workers.Add(a.Gateway).Add(a.Auditors).Add(a.Royalties).Add(a.Burned).Add(a.Refunded))
	books, err := w.Books(ctx)
	require.NoError(t, err)
	require.True(t, books.Ok, "%v", books.Broken)
	return a
}

// Answers by OpenAI's routes are audited by replay, settled, paid to the anote, and an
// outsider who has the file alone finds all of that out.
func TestAnswersAreReplayedAndPaid(t *testing.T) {
	w := inferWorld(t, 3)
	tab := w.openTab("--audit", "100", "--epoch", "10", "--escrow", "2note")
	dir := t.TempDir()

	const n = 12
	units := uint64(0)
	var files []string
	for i := range n {
		a, err := tab.Ask(t.Context(), hot(int64(i+1), 24), nil)
		require.NoError(t, err)
		require.NoError(t, a.Proof.Check())
		units += a.Proof.Units
		file := filepath.Join(dir, fmt.Sprintf("%d.json", i))
		require.NoError(t, os.WriteFile(file, a.Reply, 0o600))
		files = append(files, file)
	}
	spending, err := tab.Spending(t.Context())
	require.NoError(t, err)
	require.Equal(t, units, spending.Spent)
	require.Zero(t, spending.Reserved)

	// The same seed, streamed: the same text, and the same result to the bit.
	first, err := os.ReadFile(files[0])
	require.NoError(t, err)
	var text strings.Builder
	again, err := tab.Ask(t.Context(), hot(1, 24), func(s string) { text.WriteString(s) })
	require.NoError(t, err)
	units += again.Proof.Units
	var before ask.Reply
	require.NoError(t, json.Unmarshal(first, &before))
	require.Equal(t, before.Choices[0].Said(), text.String())
	proof, err := answer.Parse(before.Cantus)
	require.NoError(t, err)
	require.Equal(t, proof.Result, again.Proof.Result)

	a := w.closeTab(tab)
	require.Equal(t, uint64(n+1), a.Receipts)
	require.Equal(t, units, a.Units)
	require.NotZero(t, a.Upheld)
	require.Zero(t, a.False)
	require.Zero(t, a.Other)
	for _, e := range a.Epochs {
		require.Equal(t, string(work.Replayed), e.Label, "epoch %d", e.Number)
	}
	// The buyer paid for the units and nothing else: rounding of the shares goes back.
	price, ok := math.NewIntFromString(tab.Price)
	require.True(t, ok)
	same(t, a.Price, price)
	paid := a.Escrow.Sub(a.Refunded)
	require.True(t, paid.LTE(price.Mul(math.NewIntFromUint64(units))), "paid %s", paid)
	earned := math.ZeroInt()
	for _, e := range a.Earned {
		earned = earned.Add(e.Amount)
	}
	same(t, a.Workers, earned)

	for _, file := range files {
		var found struct {
			OK      bool
			Answers []struct {
				Label    work.Label
				Findings []struct{ Check, State, Detail string }
			}
		}
		require.NoError(t, json.Unmarshal(w.run("verify", file, "--replay", "--json"), &found))
		require.True(t, found.OK)
		require.Equal(t, work.Replayed, found.Answers[0].Label)
		for _, f := range found.Answers[0].Findings {
			require.Equal(t, "ok", f.State, "%s: %s", f.Check, f.Detail)
		}
	}

	// Whoever changes what was answered is found out, also without the ledger.
	changed := bytes.Replace(first, []byte(`"text":"`), []byte(`"text":"never `), 1)
	require.NotEqual(t, first, changed)
	file := filepath.Join(dir, "changed.json")
	require.NoError(t, os.WriteFile(file, changed, 0o600))
	var out bytes.Buffer
	c := cli.Root("test")
	c.SetOut(&out)
	c.SetArgs([]string{"verify", file, "--offline", "--home", string(w.home)})
	require.Error(t, c.ExecuteContext(t.Context()))
	require.Contains(t, out.String(), "FAILED")
	require.NotContains(t, out.String(), "label:")
}

// dying answers until some parts of an answer were sent, and then never says anything more.
type dying struct {
	work.Kind
	parts int32
	died  chan struct{}
	once  *sync.Once
}

// Holds implements work.Holder, which the embedded interface does not promise.
func (d dying) Holds() []artifact.Digest { return d.Kind.(work.Holder).Holds() }

func (d dying) Execute(ctx context.Context, env work.Env, t work.Task) (work.Result, error) {
	if env.Stream == nil {
		return d.Kind.Execute(ctx, env, t)
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	last := make(chan struct{})
	env.Stream = &mute{Stream: env.Stream, left: d.parts, last: last}
	done := make(chan error, 1)
	go func() {
		_, err := d.Kind.Execute(ctx, env, t)
		done <- err
	}()
	select {
	case <-last:
		d.once.Do(func() { close(d.died) })
	case err := <-done:
		if err != nil {
			return work.Result{}, err
		}
		d.once.Do(func() { close(d.died) })
	}
	<-ctx.Done() // until the process is gone
	return work.Result{}, errors.New("dead")
}

// mute lets some parts through.
type mute struct {
	work.Stream
	left int32
	last chan struct{}
}

func (m *mute) Send(part []byte) {
	switch n := atomic.AddInt32(&m.left, -1); {
	case n >= 0:
		m.Stream.Send(part)
	case n == -1:
		close(m.last)
	}
}

// A worker dies in the middle of an answer that somebody reads. Another goes on from the
// same tokens, and the whole is what the seed gives; the dead one is paid nothing.
func TestAWorkerDiesInTheMiddleOfAnAnswer(t *testing.T) {
	w := inferWorld(t, 1)
	tab := w.openTab("--audit", "100", "--epoch", "10")
	want, err := tab.Ask(t.Context(), hot(7, 60), nil)
	require.NoError(t, err)

	path := filepath.Join(t.TempDir(), "dying.key")
	key, err := market.NodeKey(path)
	require.NoError(t, err)
	died, once := make(chan struct{}), new(sync.Once)
	_, kill := w.joinFor("dying", key, []work.Name{infer.Name}, func(c *worker.Config) {
		all := kinds(t, w.home.Models())
		i := slices.IndexFunc(all, func(k work.Kind) bool { return k.Name() == infer.Name })
		c.Kinds, c.Drain = []work.Kind{dying{Kind: all[i], parts: 5, died: died, once: once}}, time.Millisecond
	})
	go func() {
		<-died
		kill()
	}()
	// Ask side by side until one of the answers was the dying one's to give.
	for round := 0; ; round++ {
		require.Less(t, round, 50, "the dying worker got no task")
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				var text strings.Builder
				a, err := tab.Ask(t.Context(), hot(7, 60), func(s string) { text.WriteString(s) })
				if err != nil {
					t.Error(err)
					return
				}
				if text.String() != want.Text || !bytes.Equal(a.Proof.Result, want.Proof.Result) {
					t.Errorf("another answer: %q", text.String())
				}
				if a.Proof.Worker == key.Public() {
					t.Error("the dead worker gave a receipt")
				}
			})
		}
		all.Wait()
		if t.Failed() {
			return
		}
		select {
		case <-died:
		default:
			continue
		}
		break
	}
	a := w.closeTab(tab)
	require.Zero(t, a.False)
	for _, e := range a.Earned {
		require.NotEqual(t, key.Public(), e.Worker)
	}
	r, err := w.WorkerRecord(t.Context(), key.Public())
	require.NoError(t, err)
	require.Equal(t, types.Status_STATUS_ACTIVE, r.Status, "to die is no lie")
}
