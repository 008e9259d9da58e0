package worker_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/cantus-network/cantus/artifact"
	"github.com/cantus-network/cantus/work"
)

// chained is a kind whose tasks are so many hashes, one of another; its result is the last.
// It counts the traces that it made, and makes none while it has no model.
type chained struct {
	made, open, most atomic.Int64
	missing          atomic.Bool
	full             atomic.Bool // there is room for one trace
}

const chainedName = "chained/1"

var _ work.Disputer = (*chained)(nil)

func (*chained) Name() work.Name { return chainedName }
func (*chained) Check([]byte) (work.Needs, error) {
	return work.Needs{UnitsPerTask: 1}, nil
}

func (*chained) Meter(work.Task, work.Result) (uint64, error) { return 1, nil }

func (*chained) Execute(context.Context, work.Env, work.Task) (work.Result, error) {
	return work.Result{}, errors.New("nobody asks for that")
}

func (*chained) Verify(_ context.Context, _ work.Env, t work.Task, r work.Result) (work.Verdict, error) {
	v := work.Verdict{Outcome: work.Pass}
	if want := newHashes(t.Body, -1).values; !bytes.Equal(want[len(want)-1], r.Body) {
		v.Outcome = work.Fail
	}
	return v, nil
}

func (k *chained) Trace(_ context.Context, t work.Task, r work.Result) (work.Trace, error) {
	if k.missing.Load() {
		return nil, errors.New("the model isn't at hand")
	}
	if k.full.Load() && k.open.Load() > 0 {
		return nil, work.ErrNoRoom
	}
	k.made.Add(1)
	k.most.Store(max(k.most.Load(), k.open.Add(1)))
	return &hashes{kind: k, values: newHashes(t.Body, -1).values, result: r.Body}, nil
}

// hashes is the trace of a task of kind chained.
type hashes struct {
	kind   *chained
	values [][]byte // one for each step
	result []byte
	closed bool
}

// newHashes computes a task. A liar goes wrong at a step, and on from there.
func newHashes(task []byte, lie int) *hashes {
	n, seed, _ := strings.Cut(string(task), " ")
	count, _ := strconv.Atoi(n)
	l := &hashes{}
	last := []byte(seed)
	for i := range count {
		h := sha256.Sum256(last)
		if i == lie {
			h[0] ^= 1
		}
		last = h[:]
		l.values = append(l.values, last)
	}
	return l
}

func (l *hashes) level(n uint32) []artifact.Digest {
	var row []artifact.Digest
	for _, v := range l.values {
		row = append(row, artifact.Sum(v))
	}
	for ; n > 0; n-- {
		var up []artifact.Digest
		for i := 0; i < len(row); i += 16 {
			up = append(up, hashAll(row[i:min(i+16, len(row))]))
		}
		row = up
	}
	return row
}

func hashAll(list []artifact.Digest) artifact.Digest {
	var b []byte
	for _, d := range list {
		b = append(b, d[:]...)
	}
	return artifact.Sum(b)
}

func levels(leaves int) (n uint32) {
	for ; leaves > 1; leaves = (leaves + 15) / 16 {
		n++
	}
	return n
}

func (l *hashes) Head(context.Context) ([]byte, error) { return []byte("head"), nil }

func (l *hashes) Root(context.Context) (artifact.Digest, error) {
	if l.closed {
		panic("used after it was closed")
	}
	return l.level(levels(len(l.values)))[0], nil
}

func (l *hashes) Children(_ context.Context, level uint32, node uint64) ([]artifact.Digest, error) {
	row := l.level(level - 1)
	return row[node*16 : min(node*16+16, uint64(len(row)))], nil
}

func (l *hashes) Open(_ context.Context, leaf uint64) ([]byte, error) {
	return []byte(fmt.Sprintf("step %d", leaf)), nil
}

func (l *hashes) Contradiction(context.Context) (uint64, []byte, bool, error) {
	last := len(l.values) - 1
	return uint64(last), []byte("look"), !bytes.Equal(l.values[last], l.result), nil
}

func (l *hashes) Close() {
	if l.closed {
		panic("closed twice")
	}
	l.closed = true
	l.kind.open.Add(-1)
}

// court is the disputes of a fake ledger, by the rules of the real one. It plays the party
// that the worker under test isn't.
type court struct {
	node  *node
	cases []*suit // by number, from 1
	// How those are played that the worker opens.
	opponent func(*suit)
}

// suit is a dispute.
type suit struct {
	id                    uint64
	job, epoch            uint64
	worker                work.PublicKey
	challenger            string
	status                string
	task, result, receipt []byte
	roots                 map[string]artifact.Digest
	nodes                 map[string]artifact.Digest
	shown                 map[string][]artifact.Digest
	level                 uint32
	node                  uint64
	deadline              int64
	proved                bool

	other *hashes // the trace of whom the court plays; nil for one that says nothing
	plays string  // "worker" or "challenger"
	stays bool    // it doesn't open the step itself
}

func newCourt(n *node) *court {
	c := &court{node: n}
	n.court = c
	n.records["cantus/work/v1/params"] = `{"params":{"verdict_commit_blocks":"20000","verdict_reveal_blocks":"20000","challenge_blocks":"10",
		"answer_blocks":"25","grace_blocks":"100","dispute_open_blocks":"4000","dispute_move_blocks":"4000","refereed_kinds":["chained/1"]}}`
	return c
}

// sue opens a dispute against a worker. The caller holds the node's mutex.
func (c *court) sue(s *suit) *suit {
	s.id = uint64(len(c.cases) + 1)
	s.status, s.level = "ASKED", levels(len(newHashes(s.task, -1).values))
	s.nodes, s.shown = map[string]artifact.Digest{}, map[string][]artifact.Digest{}
	if s.deadline == 0 {
		s.deadline = c.node.height + 4000
	}
	c.cases = append(c.cases, s)
	c.reply(s)
	return s
}

func (s *suit) over() bool { return s.status == "WON" || s.status == "LOST" || s.status == "MOOT" }

// reply lets the other party move, as long as it can.
func (c *court) reply(s *suit) {
	for s.other != nil && !s.over() {
		switch {
		case s.status == "ASKED" && s.plays == "worker":
			root, _ := s.other.Root(context.Background())
			s.answer(root)
		case s.status == "DESCENDING" && s.shown[s.plays] == nil:
			list, _ := s.other.Children(context.Background(), s.level, s.node)
			s.descend(list)
		case s.status == "DECIDING" && !s.stays:
			s.decide()
		default:
			return
		}
	}
}

func (s *suit) answer(root artifact.Digest) {
	s.roots["worker"] = root
	s.nodes["worker"], s.nodes["challenger"] = root, s.roots["challenger"]
	s.status = "DESCENDING"
	if root == s.roots["challenger"] {
		s.status = "AGREED"
	}
}

func (s *suit) descend(list []artifact.Digest) string {
	switch hashAll(list) {
	case s.nodes["worker"]:
		s.shown["worker"] = list
	case s.nodes["challenger"]:
		s.shown["challenger"] = list
	default:
		return "these children are nobody's"
	}
	w, ch := s.shown["worker"], s.shown["challenger"]
	if w == nil || ch == nil {
		return ""
	}
	for i := range w {
		if w[i] != ch[i] {
			s.nodes["worker"], s.nodes["challenger"], s.node = w[i], ch[i], 16*s.node+uint64(i)
			break
		}
	}
	clear(s.shown)
	if s.level--; s.level == 0 {
		s.status = "DECIDING"
	}
	return ""
}

func (s *suit) decide() {
	s.status, s.proved = "WON", true
	if newHashes(s.task, -1).level(0)[s.node] == s.nodes["worker"] {
		s.status = "LOST"
	}
}

// fields are a protobuf message's, by number.
func fields(b []byte) (out map[protowire.Number][][]byte, numbers map[protowire.Number]uint64) {
	out, numbers = map[protowire.Number][][]byte{}, map[protowire.Number]uint64{}
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		b = b[n:]
		if typ == protowire.VarintType {
			v, n := protowire.ConsumeVarint(b)
			numbers[num], b = v, b[n:]
			continue
		}
		v, n := protowire.ConsumeBytes(b)
		out[num], b = append(out[num], v), b[n:]
	}
	return out, numbers
}

func first(list [][]byte) []byte {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}

// hear takes a transaction and says what is wrong with it.
func (c *court) hear(tx []byte) string {
	if c == nil {
		return ""
	}
	raw, _ := fields(tx)
	body, _ := fields(raw[1][0])
	anyOf, _ := fields(body[1][0])
	if strings.HasSuffix(string(anyOf[1][0]), "MsgExec") {
		exec, _ := fields(anyOf[2][0])
		anyOf, _ = fields(exec[2][0])
	}
	m, numbers := fields(anyOf[2][0])
	_, name, _ := strings.Cut(string(anyOf[1][0]), ".v1.")
	if name == "MsgOpenDispute" {
		return c.opened(m, numbers)
	}
	if name == "MsgCommitVerdicts" || name == "MsgRevealVerdicts" {
		return ""
	}
	id := numbers[2]
	if id == 0 || id > uint64(len(c.cases)) || c.cases[id-1].over() {
		return "no such dispute, or it is over"
	}
	s := c.cases[id-1]
	why := ""
	switch name {
	case "MsgAnswerDispute":
		root, _ := artifact.DigestFromBytes(first(m[3]))
		if err := s.worker.VerifyTrace(work.TraceID{Chain: chain, Dispute: id}, root, first(m[4])); err != nil || s.status != "ASKED" {
			return fmt.Sprint("answer: ", err, s.status)
		}
		s.answer(root)
	case "MsgDescend":
		if s.status != "DESCENDING" || numbers[3] != uint64(s.level) || numbers[4] != s.node {
			return "not there"
		}
		var list []artifact.Digest
		for _, b := range m[5] {
			list = append(list, artifact.Digest(b))
		}
		why = s.descend(list)
	case "MsgDecide":
		if s.status != "DECIDING" || string(first(m[3])) != fmt.Sprintf("step %d", s.node) {
			return "another step"
		}
		s.decide()
	case "MsgContradict":
		want := newHashes(s.task, -1)
		if root, _ := want.Root(context.Background()); s.roots["worker"] != root || bytes.Equal(want.values[len(want.values)-1], s.result) {
			return "no contradiction"
		}
		s.status, s.proved = "WON", true
	}
	c.reply(s)
	if s.status == "WON" {
		c.ruled()
	}
	return why
}

// ruled has the sample be what a dispute showed.
func (c *court) ruled() {
	const epoch = "cantus/work/v1/jobs/1/epochs/1"
	c.node.records[epoch] = strings.Replace(c.node.records[epoch], "SAMPLE_STATUS_ACCUSED", "SAMPLE_STATUS_FALSE", 1)
}

// opened takes a dispute that the worker under test opens.
func (c *court) opened(m map[protowire.Number][][]byte, numbers map[protowire.Number]uint64) string {
	if string(first(m[9])) != "head" {
		return "no head"
	}
	root, _ := artifact.DigestFromBytes(first(m[10]))
	s := &suit{job: numbers[2], epoch: numbers[3], challenger: string(first(m[1])), task: first(m[7]), result: first(m[8]), plays: "worker",
		roots: map[string]artifact.Digest{"challenger": root}}
	for _, other := range c.cases {
		if !other.over() && other.challenger == s.challenger && bytes.Equal(other.task, s.task) {
			return "twice"
		}
	}
	c.opponent(s)
	c.sue(s)
	return ""
}

// serve answers queries about disputes.
func (c *court) serve(w http.ResponseWriter, path string, q url.Values) bool {
	rest, ok := strings.CutPrefix(path, "cantus/work/v1/disputes")
	if c == nil || !ok {
		return false
	}
	for _, s := range c.cases {
		if !s.over() && c.node.height >= s.deadline {
			was := s.status
			s.status = "LOST"
			if was == "ASKED" || was == "DESCENDING" && s.shown["worker"] == nil {
				s.status = "WON"
				c.ruled()
			}
		}
	}
	if rest != "" {
		id, _ := strconv.Atoi(rest[1:])
		s := c.cases[id-1]
		answer := map[string]any{"dispute": s.record()}
		if !s.over() {
			answer["exhibit"] = map[string]any{"dispute": fmt.Sprint(id), "receipt": s.receipt, "task": s.task, "result": s.result}
		}
		_ = json.NewEncoder(w).Encode(answer)
		return true
	}
	list := []any{}
	for _, s := range c.cases {
		if !s.over() && (q.Get("worker") == "" || q.Get("worker") == s.worker.String()) && (q.Get("challenger") == "" || q.Get("challenger") == s.challenger) {
			list = append(list, s.record())
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"disputes": list})
	return true
}

func (s *suit) record() map[string]any {
	r := map[string]any{
		"id": fmt.Sprint(s.id), "job": fmt.Sprint(s.job), "epoch": fmt.Sprint(s.epoch), "worker": s.worker[:], "challenger": s.challenger,
		"status": "DISPUTE_STATUS_" + s.status, "kind": chainedName, "level": s.level, "node": fmt.Sprint(s.node), "deadline": fmt.Sprint(s.deadline),
		"reason": "as it is", "proved": s.proved,
	}
	for who, root := range s.roots {
		r[who+"_root"] = root[:]
	}
	for who, list := range s.shown {
		var all [][]byte
		for _, d := range list {
			all = append(all, d[:])
		}
		r[who+"_children"] = all
	}
	return r
}
