package worker_test

import (
	"encoding/base64"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
)

// verdictAsked is what the ledger says of the one audit of these tests.
type verdictAsked struct {
	status              string
	deadline            int64
	committed, revealed bool
}

// draw has the ledger say that a worker was drawn for sample 0 of epoch 1 of job 1, at a
// gateway or a cell of it, and how far that is. An empty status means that it is decided.
func (n *node) draw(at *gateway, cell string, me work.PublicKey, v verdictAsked) {
	list, status := "", v.status
	if status != "" {
		list = fmt.Sprintf(`{"job":"1","epoch":"1","sample":0,"status":"SAMPLE_STATUS_%s","deadline":"%d","committed":%t,"revealed":%t,
			"gateway":"%s","gateway_key":"%s","cell":"%s","url":"%s"}`, status, v.deadline, v.committed, v.revealed,
			gatewayAddress, base64.StdEncoding.EncodeToString(publicBytes(at)), cell, at.http.URL)
	} else {
		status = "UPHELD"
	}
	commitment, outcome := "", "UNSPECIFIED"
	if v.committed {
		commitment = "eA=="
	}
	if v.revealed {
		outcome = "UNSURE"
	}
	n.epoch(at, me, 1, 1, fmt.Sprintf(`{"unit":"0","status":"SAMPLE_STATUS_%s","receipt":"eA==","index":"0","slots":[
		{"auditor":"%s","commitment":"%s","outcome":"OUTCOME_%s","evidence":"","paid":false}],"deadline":"%d","plant":false}`,
		status, base64.StdEncoding.EncodeToString(me[:]), commitment, outcome, v.deadline))
	n.set("cantus/work/v1/workers/"+me.String()+"/audits", `{"audits":[`+list+`],"pagination":{"next_key":null,"total":"0"}}`)
}

// honestAudit is an audit of a true receipt.
func (g *gateway) honestAudit() plane.Audit {
	body := []byte("honest")
	a := plane.Audit{Epoch: 1, Sample: 0, Job: 1, Kind: "echo/1", Spec: g.spec(""), Seq: 1, Body: body, Deadline: time.Now().Add(time.Minute).UnixMilli()}
	result, err := work.Encode(echoResult{Text: string(body)})
	require.NoError(g.t, err)
	_, err = g.store.Put(g.t.Context(), result)
	require.NoError(g.t, err)
	task := work.Task{Job: 1, Seq: 1, Body: body}
	s, err := work.SignReceipt(newKey(g.t), work.Receipt{Chain: chain, Job: 1, Seq: 1, Attempt: 1, Task: task.Digest(),
		Result: artifact.Sum(result), Units: uint64(len(body)), Started: 1, Finished: 2})
	require.NoError(g.t, err)
	a.Receipt, err = s.Encode()
	require.NoError(g.t, err)
	return a
}

// dirs are the directories of the gateways that a worker remembers.
func dirs(t testing.TB, cfg worker.Config) []string {
	list, err := filepath.Glob(filepath.Join(cfg.Dir, "gateways", "*"))
	require.NoError(t, err)
	return list
}

// unseen is how many verdicts a worker gave without having been shown what to check.
func (r *running) unseen(t testing.TB) float64 {
	t.Helper()
	families, err := r.reg.Gather()
	require.NoError(t, err)
	n := 0.0
	for _, f := range families {
		for _, m := range f.Metric {
			for _, l := range m.Label {
				if f.GetName() == "cantus_worker_audits_total" && l.GetValue() == "unseen" {
					n += m.Counter.GetValue()
				}
			}
		}
	}
	return n
}

// A worker that is drawn by a gateway, or a cell, that it doesn't work for goes there for as
// long as its verdict is wanted, leases nothing, and forgets the gateway afterwards.
func TestAuditsAtAnyGateway(t *testing.T) {
	for _, cell := range []string{"", "north"} {
		t.Run("cell "+cell, func(t *testing.T) {
			g, n := newGateway(t), newNode(t)
			other := newGateway(t)
			cfg := n.config(t, g.config(t))
			me := cfg.Key.Public()
			n.draw(other, cell, me, verdictAsked{status: "OPENED", deadline: 1 << 30})
			unlock := other.lock()
			other.audits = append(other.audits, other.honestAudit())
			unlock()
			other.offer(other.bundle("", "not for a worker that only audits here"))
			r := run(t, cfg)
			other.wait("it gives its verdict", func() bool { return len(other.commits) == 1 })
			n.draw(other, cell, me, verdictAsked{status: "REVEALING", deadline: 1 << 30, committed: true})
			unlock = other.lock()
			other.reveals = append(other.reveals, plane.Reveal{Job: 1, Epoch: 1})
			unlock()
			other.plane.Nudge(me)
			other.wait("it reveals it", func() bool { return len(other.revealed) == 1 })
			require.Len(t, dirs(t, cfg), 2)
			n.draw(other, cell, me, verdictAsked{})
			require.Eventually(t, func() bool { return !slices.Contains(other.plane.Connected(), me) }, 30*time.Second, time.Millisecond)
			require.Eventually(t, func() bool { return len(dirs(t, cfg)) == 1 }, 30*time.Second, time.Millisecond)
			// What it works for was not disturbed.
			g.offer(g.bundle("", "one"))
			g.wait("it works on", done(g, 1))
			require.NoError(t, r.stop(t))
			other.mu.Lock()
			defer other.mu.Unlock()
			require.Equal(t, work.Pass, other.revealed[0].Outcome)
			require.Empty(t, other.receipts)
			for _, q := range other.asked {
				require.Zero(t, q.Max)
			}
			require.Empty(t, n.transactions())
			// The next time it is drawn there, it goes there again.
			other.commits = nil
			other.audits = append(other.audits, other.honestAudit())
			other.mu.Unlock()
			n.draw(other, cell, me, verdictAsked{status: "OPENED", deadline: 1 << 30})
			run(t, n.config(t, cfg))
			other.wait("it is back", func() bool { return len(other.commits) == 1 })
			other.mu.Lock()
		})
	}
}

// Where nobody shows an auditor what to check it isn't silent: it says that it is unsure.
func TestUnsureByItself(t *testing.T) {
	for name, silence := range map[string]func(*gateway){
		"away":           func(g *gateway) { g.away() },
		"gives no audit": func(*gateway) {},
		"refuses":        func(g *gateway) { g.refuseLease.Store(true) },
	} {
		t.Run(name, func(t *testing.T) {
			g, n := newGateway(t), newNode(t)
			other := newGateway(t)
			silence(other)
			cfg := n.config(t, g.config(t))
			me := cfg.Key.Public()
			n.draw(other, "", me, verdictAsked{status: "OPENED", deadline: 1 << 30})
			r := run(t, cfg)
			seen := func() int64 { n.mu.Lock(); defer n.mu.Unlock(); return n.height }
			from := seen()
			require.Eventually(t, func() bool { return seen() > from+3 }, 30*time.Second, time.Millisecond)
			require.Empty(t, n.transactions(), "there is time")
			n.draw(other, "", me, verdictAsked{status: "OPENED", deadline: seen() + 8})
			sent := func(k int, what string) {
				t.Helper()
				require.Eventually(t, func() bool { return len(n.transactions()) >= k }, 30*time.Second, time.Millisecond)
				require.Equal(t, what, n.transactions()[k-1])
			}
			sent(1, "MsgCommitVerdicts")
			n.draw(other, "", me, verdictAsked{status: "REVEALING", deadline: seen() + 8, committed: true})
			n.mu.Lock()
			before := slices.IndexFunc(n.sent, func(s string) bool { return strings.Contains(s, "Reveal") })
			n.mu.Unlock()
			require.Negative(t, before)
			k := len(n.transactions()) + 1
			sent(k, "MsgRevealVerdicts")
			require.EqualValues(t, 1, r.unseen(t))
			n.draw(other, "", me, verdictAsked{})
			require.Eventually(t, func() bool { return worker.OpenVerdicts(r.worker) == 0 }, 30*time.Second, time.Millisecond)
		})
	}
}

// A verdict that was given for want of an answer stands when the gateway asks after all.
func TestUnsureStands(t *testing.T) {
	g, n := newGateway(t), newNode(t)
	other := newGateway(t)
	cfg := n.config(t, g.config(t))
	me := cfg.Key.Public()
	n.draw(other, "", me, verdictAsked{status: "OPENED", deadline: 104})
	r := run(t, cfg)
	require.Eventually(t, func() bool { return r.unseen(t) == 1 }, 30*time.Second, time.Millisecond)
	n.draw(other, "", me, verdictAsked{status: "REVEALING", deadline: 1 << 30, committed: true})
	unlock := other.lock()
	other.audits = append(other.audits, other.honestAudit())
	other.reveals = append(other.reveals, plane.Reveal{Job: 1, Epoch: 1})
	unlock()
	other.offer() // for the nudge
	other.wait("it reveals what it said", func() bool { return len(other.revealed) == 1 && len(other.commits) == 1 })
	other.mu.Lock()
	defer other.mu.Unlock()
	require.Equal(t, work.Unsure, other.revealed[0].Outcome)
	require.True(t, other.revealed[0].Evidence.IsZero())
	v := work.Verdict{Outcome: work.Unsure}
	id := work.VerdictID{Chain: chain, Job: 1, Epoch: 1, Auditor: me}
	require.NoError(t, v.CheckReveal(id, other.revealed[0].Salt, other.commits[0].Commitment))
}

// A node of an earlier version knows no such list: the rest is looked after as before.
func TestNodeWithoutAudits(t *testing.T) {
	g, n, r := promised(t)
	n.mu.Lock()
	n.refused["cantus/work/v1/workers/"+r.cfg.Key.Public().String()+"/audits"] = `{"code":12,"message":"Not Implemented","details":[]}`
	n.mu.Unlock()
	n.epoch(g, r.cfg.Key.Public(), 1, 4, "")
	n.job("OPEN", 1, 0)
	require.Eventually(t, func() bool { return len(n.transactions()) > 0 }, 30*time.Second, time.Millisecond)
	require.Equal(t, challenge, n.transactions()[0])
}

// A gateway that the owner never named gets no connection to the machines near the worker.
func TestStrangersGetPublicAddressesOnly(t *testing.T) {
	n, other := newNode(t), newGateway(t)
	cfg := n.config(t, configFor(t, "https://gateway.invalid"))
	me := cfg.Key.Public()
	n.draw(other, "", me, verdictAsked{status: "OPENED", deadline: 112})
	r := run(t, cfg)
	require.Eventually(t, func() bool { return len(n.transactions()) > 0 }, 30*time.Second, time.Millisecond)
	require.Equal(t, "MsgCommitVerdicts", n.transactions()[0])
	require.EqualValues(t, 1, r.unseen(t))
	require.NoError(t, r.stop(t))
	other.mu.Lock()
	defer other.mu.Unlock()
	require.Zero(t, other.hellos)
}
