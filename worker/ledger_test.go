package worker_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/plane"
	"github.com/cantus-network/cantus/work"
	"github.com/cantus-network/cantus/worker"
	"github.com/cantus-network/cantus/worker/witness"
)

// node is a ledger node's REST interface: what it answers is set by the test, in the form
// of a real one's answers.
type node struct {
	t    testing.TB
	http *httptest.Server

	mu      sync.Mutex
	height  int64
	records map[string]string // by path
	refused map[string]string // by path, with status 501
	sent    []string          // transactions, decoded as far as their types
	onSend  func(types string)
	down    bool
	court   *court // of disputes; nil for a ledger that knows none
}

const (
	operatorAddress = "cantus1qqqsyqcyq5rqwzqfpg9scrgwpugpzysnkh99gq" // bytes 0 to 19
	gatewayAddress  = operatorAddress
)

func newNode(t testing.TB) *node {
	n := &node{t: t, height: 100, refused: map[string]string{}, records: map[string]string{
		"cosmos/base/tendermint/v1beta1/node_info": `{"default_node_info":{"network":"` + chain + `"},"application_version":{}}`,
		"cantus/work/v1/params": `{"params":{"verdict_commit_blocks":"20","verdict_reveal_blocks":"20","challenge_blocks":"10",
			"answer_blocks":"25","grace_blocks":"100","max_samples":32,"allow_loopback":true}}`,
		"cosmos/evm/feemarket/v1/base_fee": `{"base_fee":"1000000000.000000000000000000"}`,
		"cosmos/tx/v1beta1/simulate":       `{"gas_info":{"gas_wanted":"0","gas_used":"81234"},"result":null}`,
	}}
	n.http = httptest.NewServer(http.HandlerFunc(n.serve))
	t.Cleanup(n.http.Close)
	return n
}

func (n *node) serve(w http.ResponseWriter, r *http.Request) {
	n.mu.Lock()
	defer n.mu.Unlock()
	path := strings.TrimPrefix(r.URL.Path, "/")
	body, _ := io.ReadAll(r.Body)
	switch {
	case n.down:
		http.Error(w, "down", http.StatusServiceUnavailable)
	case path == "cosmos/base/node/v1beta1/status":
		n.height++
		fmt.Fprintf(w, `{"earliest_store_height":"1","height":"%d","timestamp":null}`, n.height)
	case path == "cosmos/tx/v1beta1/txs" && r.Method == http.MethodPost:
		var req struct {
			Tx   []byte `json:"tx_bytes"`
			Mode string `json:"mode"`
		}
		if err := json.Unmarshal(body, &req); err != nil || req.Mode != "BROADCAST_MODE_SYNC" {
			n.t.Errorf("broadcast %s: %v", body, err)
		}
		var types []string
		for _, m := range []string{"MsgExec", "MsgChallengeVoucher", "MsgCommitVerdicts", "MsgRevealVerdicts", "MsgClaim",
			"MsgOpenDispute", "MsgAnswerDispute", "MsgDescend", "MsgDecide", "MsgContradict"} {
			if strings.Contains(string(req.Tx), "."+m) {
				types = append(types, m)
			}
		}
		n.sent = append(n.sent, strings.Join(types, " "))
		if why := n.court.hear(req.Tx); why != "" {
			fmt.Fprintf(w, `{"tx_response":{"code":18,"raw_log":%q}}`, why)
			return
		}
		if n.onSend != nil {
			n.onSend(n.sent[len(n.sent)-1])
		}
		fmt.Fprint(w, `{"tx_response":{"code":0,"raw_log":""}}`)
	case strings.HasPrefix(path, "cosmos/tx/v1beta1/txs/"):
		fmt.Fprint(w, `{"tx":{},"tx_response":{"height":"101","code":0,"raw_log":""}}`)
	case n.court.serve(w, path, r.URL.Query()):
	case n.refused[path] != "":
		w.WriteHeader(http.StatusNotImplemented)
		fmt.Fprint(w, n.refused[path])
	case n.records[path] != "":
		fmt.Fprint(w, n.records[path])
	case strings.HasPrefix(path, "cantus/work/v1/workers/"):
		fmt.Fprintf(w, `{"worker":{"operator":"%s","status":"STATUS_ACTIVE"}}`, operatorAddress)
	case strings.HasPrefix(path, "cosmos/auth/v1beta1/accounts/"):
		fmt.Fprintf(w, `{"account":{"@type":"/cosmos.auth.v1beta1.BaseAccount","address":"%s","pub_key":null,"account_number":"7","sequence":"%d"}}`,
			strings.TrimPrefix(path, "cosmos/auth/v1beta1/accounts/"), len(n.sent))
	case path == "cantus/work/v1/challenges":
		fmt.Fprint(w, `{"challenges":[],"pagination":{}}`)
	default:
		w.WriteHeader(http.StatusNotFound)
		fmt.Fprint(w, `{"code":5,"message":"no such record","details":[]}`)
	}
}

func (n *node) set(path, record string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records[path] = record
}

func (n *node) transactions() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.sent...)
}

func (n *node) config(t testing.TB, cfg worker.Config) worker.Config {
	account, err := witness.EnsureAccount(filepath.Join(cfg.Dir, "account.key"))
	require.NoError(t, err)
	cfg.Ledger, err = witness.New(witness.Options{URLs: []string{n.http.URL}, Account: account})
	require.NoError(t, err)
	cfg.LedgerEvery, cfg.ClaimAfter = 100*time.Millisecond, 50*time.Millisecond
	return cfg
}

func (n *node) job(status string, epochs, settled uint64) {
	n.set("cantus/work/v1/jobs/1", fmt.Sprintf(`{"job":{"id":"1","gateway":"%s","kind":"echo/1","status":"JOB_STATUS_%s",
		"epochs":"%d","epochs_settled":"%d","finished":false,"closing_height":"0","price":"1000"}}`, gatewayAddress, status, epochs, settled))
}

// epoch commits a pay tree in which the worker has units, and another worker has some.
func (n *node) epoch(g *gateway, key work.PublicKey, number, units uint64, samples string) {
	other := work.PublicKey{1}
	leaves := []work.Node{work.PayLeaf(other, 5), work.PayLeaf(key, units)}
	tree, err := work.NewTree(leaves)
	require.NoError(n.t, err)
	root := tree.Root()
	n.set(fmt.Sprintf("cantus/work/v1/jobs/1/epochs/%d", number), fmt.Sprintf(`{"epoch":{"job":"1","number":"%d",
		"receipts_root":"%s","receipts":"1","units":"%d","pay_root":"%s","workers":"2","total_units":"%d",
		"commit_height":"90","status":"EPOCH_STATUS_AUDITING","samples":[%s],"deadline":"0","settled_height":"0","plants":"AAAA"}}`,
		number, base64.StdEncoding.EncodeToString(make([]byte, 32)), root.Sum, base64.StdEncoding.EncodeToString(root.Hash[:]), root.Sum, samples))
	p, err := tree.Prove(1)
	require.NoError(n.t, err)
	text := fmt.Sprintf(`{"units":%d,"proof":{"index":%d,"siblings":[{"hash":"%x","sum":%d}]}}`, units, p.Index, p.Siblings[0].Hash, p.Siblings[0].Sum)
	g.pay.Store(&text)
}

// promised runs a worker until it holds a voucher over five units of job 1.
func promised(t *testing.T) (*gateway, *node, *running) {
	g, n := newGateway(t), newNode(t)
	n.set("cantus/work/v1/gateways/"+gatewayAddress, fmt.Sprintf(`{"gateway":{"address":"%s","key":"%s","url":"%s","status":"STATUS_ACTIVE"}}`,
		gatewayAddress, base64.StdEncoding.EncodeToString(publicBytes(g)), g.http.URL))
	n.job("OPEN", 0, 0)
	g.offer(g.bundle("", "fives"))
	r := run(t, n.config(t, g.config(t)))
	g.wait("it is done", done(g, 1))
	require.Eventually(t, func() bool {
		b, err := filepath.Glob(filepath.Join(r.cfg.Dir, "gateways", "*", "journal"))
		require.NoError(t, err)
		return len(b) == 1 && worker.JournalledVouchers(b[0]) == 1
	}, 30*time.Second, time.Millisecond, "the voucher is in the worker's hands")
	return g, n, r
}

func publicBytes(g *gateway) []byte { k := g.key.Public(); return k[:] }

const challenge = "MsgExec MsgChallengeVoucher"

// A gateway that commits less than it promised is challenged, once, also over a restart.
func TestChallengesByItself(t *testing.T) {
	g, n, r := promised(t)
	me := r.cfg.Key.Public()
	n.mu.Lock()
	n.onSend = func(string) {
		n.records["cantus/work/v1/challenges"] = fmt.Sprintf(`{"challenges":[{"id":"1","job":"1","worker":"%s"}],"pagination":{}}`, base64.StdEncoding.EncodeToString(me[:]))
	}
	n.mu.Unlock()
	n.epoch(g, r.cfg.Key.Public(), 1, 4, "")
	n.job("OPEN", 1, 0)
	require.Eventually(t, func() bool { return len(n.transactions()) > 0 }, 30*time.Second, time.Millisecond)
	require.NoError(t, r.stop(t))
	r = run(t, n.config(t, r.cfg))
	g.wait("it is back", func() bool { return g.hellos > 1 })
	g.offer(g.bundle("", "fives"))
	g.wait("and works on", done(g, 2))
	require.Equal(t, []string{challenge}, n.transactions())
	// The new voucher is not due yet; once it is, and is not kept either, it is challenged too.
	n.set("cantus/work/v1/challenges", `{"challenges":[],"pagination":{}}`)
	n.epoch(g, r.cfg.Key.Public(), 2, 4, "")
	n.job("OPEN", 2, 0)
	require.Eventually(t, func() bool { return len(n.transactions()) == 2 }, 30*time.Second, time.Millisecond)
}

// One that commits what it promised is not.
func TestNoChallengeWithoutReason(t *testing.T) {
	g, n, r := promised(t)
	n.epoch(g, r.cfg.Key.Public(), 1, 5, "")
	n.job("OPEN", 1, 0)
	seen := func() int64 { n.mu.Lock(); defer n.mu.Unlock(); return n.height }
	from := seen()
	require.Eventually(t, func() bool { return seen() > from+20 }, 30*time.Second, time.Millisecond)
	require.Empty(t, n.transactions())
}

// A gateway that shows no proof, or a wrong one, is asked a few times and then challenged.
func TestChallengesSilence(t *testing.T) {
	for name, answer := range map[string]string{"silence": "", "nonsense": "{", "a lie": `{"units":5,"proof":{"index":0,"siblings":[]}}`} {
		t.Run(name, func(t *testing.T) {
			g, n, r := promised(t)
			n.epoch(g, r.cfg.Key.Public(), 1, 4, "")
			g.pay.Store(&answer)
			if answer == "" {
				g.pay.Store(nil)
			}
			n.job("OPEN", 1, 0)
			require.Eventually(t, func() bool { return len(n.transactions()) > 0 }, 30*time.Second, time.Millisecond)
			require.Equal(t, []string{challenge}, n.transactions())
		})
	}
}

// What was promised and can't be committed any more is challenged, also when the gateway
// is gone.
func TestChallengesWhatCannotBeCommitted(t *testing.T) {
	g, n, _ := promised(t)
	g.away()
	n.job("FAULTED", 0, 0)
	require.Eventually(t, func() bool { return len(n.transactions()) > 0 }, 30*time.Second, time.Millisecond)
	require.Equal(t, []string{challenge}, n.transactions())
}

// A settled job is claimed if the gateway doesn't, with the proof from when it was there.
func TestClaimsByItself(t *testing.T) {
	g, n, r := promised(t)
	claimed := "cantus/work/v1/jobs/1/claimed/" + r.cfg.Key.Public().String()
	n.mu.Lock()
	n.onSend = func(string) { n.records[claimed] = `{"claimed":{"job":"1","units":"5","forfeited":false,"drawn":"5"}}` }
	n.mu.Unlock()
	n.epoch(g, r.cfg.Key.Public(), 1, 5, "")
	n.job("OPEN", 1, 0)
	require.Eventually(t, func() bool {
		b, _ := filepath.Glob(filepath.Join(r.cfg.Dir, "gateways", "*", "journal"))
		return len(b) == 1 && worker.JournalledProofs(b[0]) == 1
	}, 30*time.Second, time.Millisecond)
	g.away()
	n.job("CLOSED", 1, 1)
	require.Eventually(t, func() bool { return len(n.transactions()) > 0 }, 30*time.Second, time.Millisecond)
	require.NoError(t, r.stop(t))
	require.Equal(t, []string{"MsgClaim"}, n.transactions())
}

// A verdict that the gateway keeps to itself gets to the ledger, and one is revealed only
// once the ledger says that it is time.
func TestRelaysVerdicts(t *testing.T) {
	g, n := newGateway(t), newNode(t)
	cfg := n.config(t, g.config(t))
	me := cfg.Key.Public()
	n.job("OPEN", 1, 0)
	sample := func(status, commitment, outcome string, deadline int64) {
		n.epoch(g, me, 1, 1, fmt.Sprintf(`{"unit":"0","status":"SAMPLE_STATUS_%s","receipt":"eA==","index":"0","slots":[
			{"auditor":"%s","commitment":"%s","outcome":"OUTCOME_%s","evidence":"","paid":false}],"deadline":"%d","plant":false}`,
			status, base64.StdEncoding.EncodeToString(me[:]), commitment, outcome, deadline))
	}
	sample("OPENED", "", "UNSPECIFIED", 1<<30)
	unlock := g.lock()
	g.audits = append(g.audits, plane.Audit{Epoch: 1, Sample: 0, Job: 1, Kind: "echo/1", Spec: g.spec(""), Seq: 1,
		Receipt: []byte("x"), Deadline: time.Now().Add(time.Minute).UnixMilli()})
	unlock()
	w := run(t, cfg).worker
	g.wait("the verdict is handed to the gateway", func() bool { return len(g.commits) == 1 })
	// It asks for the reveal at once, and for good measure twice.
	unlock = g.lock()
	g.reveals = append(g.reveals, plane.Reveal{Job: 1, Epoch: 1}, plane.Reveal{Job: 1, Epoch: 1})
	unlock()
	g.plane.Nudge(me)
	seen := func() int64 { n.mu.Lock(); defer n.mu.Unlock(); return n.height }
	from := seen()
	require.Eventually(t, func() bool { return seen() > from+5 }, 30*time.Second, time.Millisecond)
	require.Empty(t, g.revealed, "the ledger says that commitments are still coming in")
	require.Empty(t, n.transactions())

	// Half of the time is over, and the commitment isn't there.
	sample("OPENED", "", "UNSPECIFIED", seen()+5)
	require.Eventually(t, func() bool { return len(n.transactions()) > 0 }, 30*time.Second, time.Millisecond)
	require.Equal(t, "MsgCommitVerdicts", n.transactions()[0])
	sample("REVEALING", "eA==", "UNSPECIFIED", 1<<30)
	g.wait("it reveals to the gateway that asked", func() bool { return len(g.revealed) == 1 })
	sample("REVEALING", "eA==", "UNSPECIFIED", seen()+5)
	last := func() string { ts := n.transactions(); return ts[len(ts)-1] }
	require.Eventually(t, func() bool { return last() == "MsgRevealVerdicts" }, 30*time.Second, time.Millisecond)
	// Once the sample is decided, nothing is left to be looked at.
	sample("UPHELD", "eA==", "UNSURE", 0)
	require.Eventually(t, func() bool { return worker.OpenVerdicts(w) == 0 }, 30*time.Second, time.Millisecond)
}

// Without the ledger at hand an auditor takes the gateway's word, as one without --ledger.
func TestRevealsWhenTheLedgerIsAway(t *testing.T) {
	g, n := newGateway(t), newNode(t)
	cfg := n.config(t, g.config(t))
	n.mu.Lock()
	n.down = true
	n.mu.Unlock()
	unlock := g.lock()
	g.audits = append(g.audits, plane.Audit{Epoch: 1, Sample: 0, Job: 1, Kind: "echo/1", Spec: g.spec(""), Seq: 1,
		Receipt: []byte("x"), Deadline: time.Now().Add(time.Minute).UnixMilli()})
	unlock()
	run(t, cfg)
	g.wait("the verdict is handed over", func() bool { return len(g.commits) == 1 })
	unlock = g.lock()
	g.reveals = append(g.reveals, plane.Reveal{Job: 1, Epoch: 1})
	unlock()
	g.plane.Nudge(cfg.Key.Public())
	g.wait("it is revealed", func() bool { return len(g.revealed) == 1 })
}

// The ledger's list of cells counts before the gateway's.
func TestCellsFromTheLedger(t *testing.T) {
	base, n := newGateway(t), newNode(t)
	cell := newGatewayOf(t, base.key)
	base.account = gatewayAddress
	lie := fmt.Sprintf(`[{"name":"elsewhere","url":"%s"}]`, base.http.URL)
	base.cells.Store(&lie)
	n.set("cantus/work/v1/gateways/"+gatewayAddress, fmt.Sprintf(`{"gateway":{"address":"%s","key":"%s","url":"%s","status":"STATUS_ACTIVE",
		"cells":[{"name":"one","url":"%s","address":"%s","open_jobs":"0"}]}}`,
		gatewayAddress, base64.StdEncoding.EncodeToString(publicBytes(base)), base.http.URL, cell.http.URL, operatorAddress))
	cell.offer(cell.bundle("", "one"))
	run(t, n.config(t, base.config(t)))
	cell.wait("it works for the cell", done(cell, 1))
	require.Zero(t, base.hellos)
}
