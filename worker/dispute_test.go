package worker_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
	"github.com/cantus-network/cantus/worker/witness"
)

// litigation is a worker with a gateway and a ledger that knows disputes.
type litigation struct {
	t     *testing.T
	g     *gateway
	n     *node
	court *court
	kind  *chained
	cfg   worker.Config
	liar  work.PrivateKey
	other string // another operator
}

func newLitigation(t *testing.T) *litigation {
	l := &litigation{t: t, g: newGateway(t), n: newNode(t), kind: &chained{}, liar: newKey(t)}
	l.court = newCourt(l.n)
	account, err := witness.EnsureAccount(filepath.Join(t.TempDir(), "account.key"))
	require.NoError(t, err)
	l.other = account.Address()
	l.cfg = l.n.config(t, l.g.config(t))
	l.cfg.Kinds = append(l.cfg.Kinds, l.kind)
	t.Cleanup(func() { require.LessOrEqual(t, l.kind.most.Load(), int64(4), "traces open at a time") })
	return l
}

// restart makes the configuration of the same worker's next start.
func (l *litigation) restart() worker.Config {
	cfg := l.n.config(l.t, l.cfg)
	cfg.Kinds = l.cfg.Kinds
	return cfg
}

func (l *litigation) locked(f func()) {
	l.n.mu.Lock()
	defer l.n.mu.Unlock()
	f()
}

// until waits until something is so on the ledger.
func (l *litigation) until(what string, ok func() bool) {
	l.t.Helper()
	require.Eventually(l.t, func() bool { l.n.mu.Lock(); defer l.n.mu.Unlock(); return ok() }, 30*time.Second, time.Millisecond, what)
}

// looks waits until the worker has looked at the ledger so often.
func (l *litigation) looks(times int64) {
	from := int64(0)
	l.locked(func() { from = l.n.height })
	l.until("the worker looks", func() bool { return l.n.height >= from+times })
}

func receiptOf(t *testing.T, k work.PrivateKey, seq uint64, task, result []byte) []byte {
	s, err := work.SignReceipt(k, work.Receipt{Chain: chain, Job: 1, Seq: seq, Attempt: 1, Task: work.Task{Job: 1, Seq: seq, Body: task}.Digest(),
		Result: artifact.Sum(result), Units: 1, Started: 1, Finished: 2})
	require.NoError(t, err)
	b, err := s.Encode()
	require.NoError(t, err)
	return b
}

func truth(task string) []byte {
	v := newHashes([]byte(task), -1).values
	return v[len(v)-1]
}

// accuse has somebody who lies at a step dispute a result of the worker's.
func (l *litigation) accuse(task string, result []byte, lie int) (s *suit) {
	l.locked(func() {
		other := newHashes([]byte(task), lie)
		root, _ := other.Root(l.t.Context())
		s = l.court.sue(&suit{job: 1, epoch: 1, worker: l.cfg.Key.Public(), challenger: l.other, task: []byte(task), result: result,
			receipt: receiptOf(l.t, l.cfg.Key, 1, []byte(task), result), roots: map[string]artifact.Digest{"challenger": root},
			other: other, plays: "challenger"})
	})
	return s
}

// sample says how far an audit by the worker is; status is empty before the draw.
func (l *litigation) sample(task string, result []byte, status, epoch string, others ...work.PublicKey) {
	until := int64(0)
	if epoch == "DECIDED" {
		l.locked(func() { until = l.n.height + 4000 })
	}
	var slots []any
	for _, k := range append(others, l.cfg.Key.Public()) {
		slot := map[string]any{"auditor": k[:], "commitment": "", "outcome": "OUTCOME_UNSPECIFIED"}
		if status == "ACCUSED" {
			slot["commitment"], slot["outcome"] = "eA==", "OUTCOME_FAIL"
		}
		slots = append(slots, slot)
	}
	b, err := json.Marshal(map[string]any{"epoch": map[string]any{
		"job": "1", "number": "1", "receipts_root": make([]byte, 32), "receipts": "1", "units": "1", "pay_root": make([]byte, 32), "workers": "1",
		"total_units": "1", "commit_height": "90", "status": "EPOCH_STATUS_" + epoch, "dispute_until": fmt.Sprint(until),
		"samples": []any{map[string]any{"unit": "0", "status": "SAMPLE_STATUS_" + status, "receipt": receiptOf(l.t, l.liar, 1, []byte(task), result),
			"slots": slots, "deadline": "1000000"}},
	}})
	require.NoError(l.t, err)
	l.n.set("cantus/work/v1/jobs/1/epochs/1", string(b))
}

// audit has the worker audit a result, and find it false.
func (l *litigation) audit(task string, result []byte) {
	_, err := l.g.store.Put(l.t.Context(), result)
	require.NoError(l.t, err)
	l.n.job("OPEN", 1, 0)
	l.sample(task, result, "OPENED", "AUDITING")
	unlock := l.g.lock()
	l.g.audits = append(l.g.audits, plane.Audit{Epoch: 1, Sample: 0, Job: 1, Kind: chainedName, Spec: l.g.spec(""), Seq: 1, Body: []byte(task),
		Receipt: receiptOf(l.t, l.liar, 1, []byte(task), result), Deadline: time.Now().Add(time.Minute).UnixMilli()})
	unlock()
	l.g.plane.Nudge(l.cfg.Key.Public())
	l.g.wait("the verdict is sealed", func() bool { return len(l.g.commits) > 0 })
}

// opponent has the worker that is audited lie at a step when it is disputed, or say nothing.
func (l *litigation) opponent(result []byte, other *hashes) {
	l.locked(func() {
		l.court.opponent = func(s *suit) {
			s.worker, s.receipt, s.other, s.stays = l.liar.Public(), receiptOf(l.t, l.liar, 1, s.task, s.result), other, true
		}
	})
}

// count is how many disputes ended how for a worker.
func (r *running) count(t testing.TB, role, outcome string) (n float64) {
	families, err := r.reg.Gather()
	require.NoError(t, err)
	for _, f := range families {
		if f.GetName() != "cantus_worker_disputes_total" {
			continue
		}
		for _, m := range f.Metric {
			labels := map[string]string{}
			for _, l := range m.Label {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["role"] == role && labels["outcome"] == outcome {
				n += m.Counter.GetValue()
			}
		}
	}
	return n
}

func (l *litigation) ends(r *running, role, outcome string, times float64) {
	l.t.Helper()
	require.Eventually(l.t, func() bool { return r.count(l.t, role, outcome) == times }, 30*time.Second, 5*time.Millisecond, "%s %s", role, outcome)
}

func (l *litigation) moves(types string) (n int) {
	for _, s := range l.n.transactions() {
		if strings.HasSuffix(s, types) {
			n++
		}
	}
	return n
}

const long = "700 of them" // three levels

// A worker whose receipt is true goes down to the step at which the challenger lies, also
// over a restart in between, and the ledger finds it right.
func TestDefendsATrueReceipt(t *testing.T) {
	l := newLitigation(t)
	s := l.accuse(long, truth(long), 333)
	r := run(t, l.cfg)
	l.until("both are at the step", func() bool { return s.status == "LOST" })
	l.ends(r, "accused", "won", 1)
	require.Equal(t, uint64(333), s.node)
	require.Equal(t, []string{"MsgAnswerDispute", "MsgDescend", "MsgDescend", "MsgDescend"}, l.n.transactions())
	require.EqualValues(t, 1, l.kind.made.Load(), "the trace is kept")
	require.Eventually(t, func() bool { return l.kind.open.Load() == 0 }, 30*time.Second, time.Millisecond, "and no longer than the dispute")
}

// It opens the step itself where the challenger, who must know that it lies, doesn't.
func TestDecidesItself(t *testing.T) {
	l := newLitigation(t)
	s := l.accuse(long, truth(long), 699)
	l.locked(func() { s.stays = true })
	r := run(t, l.cfg)
	l.until("both are at the step", func() bool { return s.status == "DECIDING" })
	l.looks(5)
	require.Zero(t, l.moves("MsgDecide"), "there is time")
	l.locked(func() { l.n.height = s.deadline - 2900 })
	l.ends(r, "accused", "won", 1)
	require.True(t, s.proved)
}

func TestDefendsAfterARestart(t *testing.T) {
	l := newLitigation(t)
	s := l.accuse(long, truth(long), 5)
	l.locked(func() { s.other = nil }) // the challenger takes its time
	r := run(t, l.cfg)
	l.until("its children are shown", func() bool { return s.shown["worker"] != nil })
	require.NoError(t, r.stop(t))
	require.Zero(t, l.kind.open.Load())
	l.locked(func() { s.other = newHashes(s.task, 5); l.court.reply(s) })
	r = run(t, l.restart())
	l.ends(r, "accused", "won", 1)
	require.EqualValues(t, 2, l.kind.made.Load())
}

// A worker whose own computation contradicts its receipt concedes: it makes sure, says nothing,
// and loses no more than it must.
func TestConcedesAFalseReceipt(t *testing.T) {
	l := newLitigation(t)
	s := l.accuse(long, []byte("a lie"), -1)
	r := run(t, l.cfg)
	require.Eventually(t, func() bool { return l.kind.made.Load() == 2 }, 30*time.Second, time.Millisecond, "it computes it twice")
	l.looks(10)
	require.Empty(t, l.n.transactions())
	require.EqualValues(t, 2, l.kind.made.Load())
	l.locked(func() { l.n.height = s.deadline })
	l.ends(r, "accused", "conceded", 1)
}

// Several disputes at once are all defended, with few traces open, also where there is room
// for only one.
func TestDefendsSeveralAtOnce(t *testing.T) {
	for _, full := range []bool{false, true} {
		t.Run(fmt.Sprint(full), func(t *testing.T) {
			l := newLitigation(t)
			l.kind.full.Store(full)
			var all []*suit
			for i := range 6 {
				task := fmt.Sprintf("%d things", 40+i)
				all = append(all, l.accuse(task, truth(task), 3*i))
			}
			r := run(t, l.cfg)
			l.ends(r, "accused", "won", float64(len(all)))
			for i, s := range all {
				require.EqualValues(t, 3*i, s.node)
			}
			require.NoError(t, r.stop(t))
			require.Zero(t, l.kind.open.Load())
		})
	}
}

// A worker that lost its model fails to move, says so and tries again; it isn't too late when
// the model is back.
func TestDefendsOnceTheModelIsThere(t *testing.T) {
	l := newLitigation(t)
	l.kind.missing.Store(true)
	l.accuse(long, truth(long), 8)
	r := run(t, l.cfg)
	l.looks(20)
	require.Empty(t, l.n.transactions())
	l.kind.missing.Store(false)
	l.ends(r, "accused", "won", 1)
}

// An auditor that found a receipt false proves it, whatever the worker does, with what it kept
// itself: the gateway is away by then, and the auditor was restarted.
func TestProvesAFalseReceipt(t *testing.T) {
	lie := []byte("a lie")
	for name, c := range map[string]struct {
		other *hashes
		moves []string
	}{
		"a false step":   {newHashes([]byte(long), 100), []string{"MsgDescend", "MsgDescend", "MsgDescend", "MsgDecide"}},
		"the same trace": {newHashes([]byte(long), -1), []string{"MsgContradict"}},
		"silence":        {nil, nil},
	} {
		for _, restarted := range []string{"", " and a restart before", " and a restart within"} {
			t.Run(name+restarted, func(t *testing.T) {
				l := newLitigation(t)
				l.opponent(lie, c.other)
				if restarted == " and a restart within" {
					l.opponent(lie, nil)
				}
				r := run(t, l.cfg)
				l.audit(long, lie)
				if restarted != "" {
					l.g.away()
				}
				if restarted == " and a restart before" {
					require.NoError(t, r.stop(t))
					r = run(t, l.restart())
				}
				l.sample(long, lie, "ACCUSED", "AUDITING")
				l.looks(6)
				require.Empty(t, l.n.transactions(), "other samples are still being audited")
				l.sample(long, lie, "ACCUSED", "DECIDED")
				l.until("it is disputed", func() bool { return len(l.court.cases) > 0 })
				s := l.court.cases[0]
				if restarted == " and a restart within" {
					require.NoError(t, r.stop(t))
					l.locked(func() { s.other = c.other; l.court.reply(s) })
					r = run(t, l.restart())
				}
				if c.other == nil {
					l.looks(6)
					l.locked(func() { l.n.height = s.deadline })
				}
				l.ends(r, "challenger", "won", 1)
				require.Equal(t, c.other != nil, s.proved)
				require.Equal(t, append([]string{"MsgExec MsgOpenDispute"}, c.moves...), l.n.transactions())
				require.Equal(t, operatorAddress, s.challenger)
				// Nothing is left of it.
				l.sample(long, lie, "FALSE", "SETTLED")
				require.Eventually(t, func() bool {
					left, err := filepath.Glob(filepath.Join(l.cfg.Dir, "gateways", "*", "blobs", "*"))
					return err == nil && len(left) == 0
				}, 30*time.Second, time.Millisecond)
			})
		}
	}
}

// What another auditor disputes with the same trace costs no second deposit; but if it falls
// silent, this one moves in its place. With another trace, it is no friend.
func TestHelpsAnotherAuditor(t *testing.T) {
	for _, friend := range []bool{true, false} {
		t.Run(fmt.Sprint(friend), func(t *testing.T) {
			l := newLitigation(t)
			lie := []byte("a lie")
			l.opponent(lie, newHashes([]byte(long), 100))
			r := run(t, l.cfg)
			l.audit(long, lie)
			var s *suit
			l.locked(func() {
				trace := newHashes([]byte(long), -1)
				if !friend {
					trace = newHashes([]byte(long), 0)
				}
				root, _ := trace.Root(t.Context())
				s = l.court.sue(&suit{job: 1, epoch: 1, worker: l.liar.Public(), challenger: l.other, task: []byte(long), result: lie, plays: "worker",
					receipt: receiptOf(t, l.liar, 1, []byte(long), lie), roots: map[string]artifact.Digest{"challenger": root}, other: newHashes([]byte(long), 100)})
			})
			first := newKey(t).Public() // it was drawn before this one
			l.sample(long, lie, "ACCUSED", "DECIDED", first)
			if !friend {
				l.looks(5)
				l.locked(func() { l.n.height += 1100 })
				l.ends(r, "challenger", "won", 1)
				require.Equal(t, 1, l.moves("MsgOpenDispute"))
				return
			}
			l.looks(10)
			require.Empty(t, l.n.transactions(), "it has time left")
			l.locked(func() { l.n.height = s.deadline - 1900 })
			l.ends(r, "helper", "won", 1)
			require.Zero(t, l.moves("MsgOpenDispute"))
			require.True(t, s.proved)
		})
	}
}

// What its operator's other workers dispute is theirs.
func TestLeavesOthersDisputes(t *testing.T) {
	l := newLitigation(t)
	lie := []byte("a lie")
	l.sample(long, lie, "OPENED", "AUDITING")
	l.locked(func() {
		root, _ := newHashes([]byte(long), -1).Root(t.Context())
		l.court.sue(&suit{job: 1, epoch: 1, worker: l.liar.Public(), challenger: operatorAddress, task: []byte(long), result: lie, plays: "worker",
			receipt: receiptOf(t, l.liar, 1, []byte(long), lie), roots: map[string]artifact.Digest{"challenger": root}, other: newHashes([]byte(long), 100)})
	})
	run(t, l.cfg)
	l.looks(20)
	require.Empty(t, l.n.transactions())
	require.Zero(t, l.kind.made.Load())
}

// Where the ledger decides, an auditor doesn't call false what can't be proved: that a receipt
// claims more units than its result is worth.
func TestSaysOnlyWhatCanBeProved(t *testing.T) {
	for _, refereed := range []bool{true, false} {
		t.Run(fmt.Sprint(refereed), func(t *testing.T) {
			l := newLitigation(t)
			if !refereed {
				l.locked(func() {
					p := "cantus/work/v1/params"
					l.n.records[p] = strings.Replace(l.n.records[p], `["chained/1"]`, "[]", 1)
				})
			}
			run(t, l.cfg)
			l.looks(4) // it knows the ledger's rules
			result := truth(long)
			_, err := l.g.store.Put(t.Context(), result)
			require.NoError(t, err)
			s, err := work.SignReceipt(l.liar, work.Receipt{Chain: chain, Job: 1, Seq: 1, Attempt: 1, Task: work.Task{Job: 1, Seq: 1, Body: []byte(long)}.Digest(),
				Result: artifact.Sum(result), Units: 77, Started: 1, Finished: 2})
			require.NoError(t, err)
			encoded, err := s.Encode()
			require.NoError(t, err)
			l.n.job("OPEN", 1, 0)
			l.sample(long, result, "OPENED", "AUDITING")
			unlock := l.g.lock()
			l.g.audits = append(l.g.audits, plane.Audit{Epoch: 1, Sample: 0, Job: 1, Kind: chainedName, Spec: l.g.spec(""), Seq: 1, Body: []byte(long),
				Receipt: encoded, Deadline: time.Now().Add(time.Minute).UnixMilli()})
			unlock()
			l.g.plane.Nudge(l.cfg.Key.Public())
			l.g.wait("the verdict is sealed", func() bool { return len(l.g.commits) == 1 })
			l.sample(long, result, "REVEALING", "AUDITING")
			l.locked(func() {
				p := "cantus/work/v1/jobs/1/epochs/1"
				l.n.records[p] = strings.Replace(l.n.records[p], `"commitment":""`, `"commitment":"eA=="`, 1)
			})
			unlock = l.g.lock()
			l.g.reveals = append(l.g.reveals, plane.Reveal{Job: 1, Epoch: 1})
			unlock()
			l.g.plane.Nudge(l.cfg.Key.Public())
			l.g.wait("it is revealed", func() bool { return len(l.g.revealed) == 1 })
			want := work.Fail
			if refereed {
				want = work.Unsure
			}
			require.Equal(t, want, l.g.revealed[0].Outcome)
		})
	}
}

// Without an account a worker can't speak, and tries nothing.
func TestDisputedWithoutAnAccount(t *testing.T) {
	l := newLitigation(t)
	l.accuse(long, truth(long), 8)
	var err error
	l.cfg.Ledger, err = witness.New(witness.Options{URLs: []string{l.n.http.URL}})
	require.NoError(t, err)
	run(t, l.cfg)
	l.looks(20)
	require.Empty(t, l.n.transactions())
	require.Zero(t, l.kind.made.Load())
}
