package cli

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/cmd/cantus/internal/ask"
	"github.com/cantus-network/cantus/exact/claim"
	"github.com/cantus-network/cantus/exact/kernel"
	"github.com/cantus-network/cantus/exact/model"
	"github.com/cantus-network/cantus/exact/tokenizer"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/work"
)

// State is what came of a check.
type state string

const (
	holds   state = "ok"
	fails   state = "FAILED"
	open    state = "open"        // nobody can know yet
	skipped state = "not checked" // what it takes is not at hand
)

// finding is one check of an answer.
type finding struct {
	Check  string `json:"check"`
	State  state  `json:"state"`
	Detail string `json:"detail"`
}

// answerReport is what verifying one answer found.
type answerReport struct {
	Job      uint64     `json:"job"`
	Seq      uint64     `json:"seq"`
	Worker   string     `json:"worker"`
	Model    string     `json:"model"`
	Units    uint64     `json:"units"`
	Label    work.Label `json:"label,omitempty"` // how strongly it is known to be right; empty for one that is wrong
	Findings []finding  `json:"findings"`
	// FirstDifference is the token from which on a replay gave another answer.
	FirstDifference *int `json:"first_difference,omitempty"`
}

func newReport(p *answer.Proof) *answerReport {
	return &answerReport{Job: uint64(p.Job), Seq: p.Seq, Worker: p.Worker.String(), Model: p.Model.String(), Units: p.Units, Label: work.Asserted}
}

func (r *answerReport) add(check string, s state, format string, a ...any) {
	r.Findings = append(r.Findings, finding{check, s, fmt.Sprintf(format, a...)})
}

func (r *answerReport) any(s state) bool {
	return slices.ContainsFunc(r.Findings, func(f finding) bool { return f.State == s })
}

// errFalse ends a verification that found something false, errUndecided one that could not
// do what it was told to.
var (
	errFalse     = errors.New("it does not verify")
	errUndecided = errors.New("it could not be found out")
)

// answerVerifier verifies answers with what is at hand.
type answerVerifier struct {
	g       *globals
	s       *session // nil without a ledger
	why     string   // there is none
	models  *modeldir.Dir
	replay  bool
	pull    bool
	threads int
	errs    io.Writer
}

// maxAnswerFile bounds a file with answers.
const maxAnswerFile = 64 << 20

// readAnswers reads a reply of the routes in OpenAI's shape, or a proof alone.
func readAnswers(path string) (*ask.Reply, []*answer.Proof, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxAnswerFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(b) > maxAnswerFile {
		return nil, nil, fmt.Errorf("%s is longer than %d bytes, and no answer is", path, maxAnswerFile)
	}
	r, proofs, err := ask.ParseReply(b)
	if err != nil {
		return nil, nil, fmt.Errorf("%s %w", path, err)
	}
	return r, proofs, nil
}

// verifyAnswers is the command's body for a file with answers.
func (v *answerVerifier) verifyAnswers(cmd *cobra.Command, path string) error {
	reply, proofs, err := readAnswers(path)
	if err != nil {
		return err
	}
	reports := make([]*answerReport, len(proofs))
	bad, undecided := false, false
	for i, p := range proofs {
		r := newReport(p)
		reports[i] = r
		if err := v.verify(cmd.Context(), r, p, reply, i); err != nil {
			return interruptedVerify(cmd.Context(), err)
		}
		if r.any(fails) {
			bad, r.Label = true, ""
		}
		undecided = undecided || v.replay && slices.ContainsFunc(r.Findings, func(f finding) bool { return f.Check == checkReplay && f.State == skipped })
	}
	if v.g.json {
		if err := printJSON(cmd.OutOrStdout(), map[string]any{"ok": !bad && !undecided, "answers": reports}); err != nil {
			return err
		}
	} else if err := printAnswers(cmd.OutOrStdout(), reports, bad, v.s == nil); err != nil {
		return err
	}
	switch {
	case bad:
		return fmt.Errorf("%s: %w", path, errFalse)
	case undecided:
		return fmt.Errorf("%s: %w: the model is not at hand; --pull fetches it from the gateway", path, errUndecided)
	}
	return nil
}

func interruptedVerify(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	return err
}

func printAnswers(w io.Writer, reports []*answerReport, bad, offline bool) error {
	for i, r := range reports {
		if len(reports) > 1 {
			fmt.Fprintf(w, "answer %d of %d\n", i+1, len(reports))
		}
		var rows [][]string
		for _, f := range r.Findings {
			rows = append(rows, []string{string(f.State), f.Check, f.Detail})
		}
		if err := table(w, rows); err != nil {
			return err
		}
		if r.Label != "" {
			fmt.Fprintf(w, "label: %s\n", r.Label)
		}
	}
	verdict := "ok"
	switch {
	case bad:
		verdict = "FAILED"
	case offline:
		verdict = "ok, without the ledger"
	}
	_, err := fmt.Fprintln(w, "verify:", verdict)
	return err
}

const (
	checkReceipt = "receipt"
	checkText    = "text"
	checkWorker  = "worker"
	checkTab     = "tab"
	checkEpoch   = "commitment"
	checkAudit   = "audit"
	checkReplay  = "replay"
)

// verify checks one answer. Its error means that the checks broke off.
func (v *answerVerifier) verify(ctx context.Context, r *answerReport, p *answer.Proof, reply *ask.Reply, i int) error {
	if err := p.Check(); err != nil {
		r.add(checkReceipt, fails, "%v", err)
		return nil // nothing else of it means anything
	}
	t, res, err := p.Claim()
	if err != nil {
		return err
	}
	r.add(checkReceipt, holds, "worker %s signed %d tokens for a prompt of %d by model %s, %d units", p.Worker.Short(), len(res.Output), len(t.Prompt), p.Name, p.Units)
	if err := v.fetch(ctx, r, p); err != nil {
		return err
	}
	v.text(r, p, t, res, reply, i)
	if v.s == nil {
		r.add("ledger", skipped, "%s", v.why)
	} else if err := v.ledger(ctx, r, p); err != nil {
		return err
	}
	if v.replay {
		return v.recompute(ctx, r, p)
	}
	return nil
}

// fetch pulls the model if that is wanted and it is not here.
func (v *answerVerifier) fetch(ctx context.Context, r *answerReport, p *answer.Proof) error {
	if _, err := v.models.Find(p.Model.String()); !v.pull || !errors.Is(err, modeldir.ErrNone) {
		return nil
	}
	from := v.g.gateway
	if from == "" {
		net, err := v.g.home().ReadNetwork()
		if err != nil {
			return fmt.Errorf("where to pull model %s from: %w", p.Model, err)
		}
		from = net.Gateway
	}
	fmt.Fprintf(v.errs, "pulling model %s from %s\n", p.Model, from)
	_, err := v.models.Pull(ctx, modeldir.Pull{From: from, Ref: p.Model.String()})
	return err
}

// text holds the reply's text against the tokens that were signed.
func (v *answerVerifier) text(r *answerReport, p *answer.Proof, t *claim.Task, res *claim.Result, reply *ask.Reply, i int) {
	switch {
	case t.Embed:
		if len(reply.Data) > i {
			if err := sameNumbers(reply.Data[i].Embedding, res.Embedding); err != nil {
				r.add(checkText, fails, "%v", err)
			} else {
				r.add(checkText, holds, "the embedding is the one that was signed")
			}
		}
		return
	case len(reply.Choices) <= i:
		return // a proof without its reply
	}
	h, err := v.models.Open(p.Model.String())
	if err != nil {
		r.add(checkText, skipped, "whether the text is that of the tokens takes the model's tokenizer: %v", err)
		return
	}
	c := reply.Choices[i]
	got, after := c.Said(), c.Text != nil
	is := tokensText(h.Tokenizer, t, res.Output, after)
	said, _ := strings.CutPrefix(got, strings.ToValidUTF8(promptText(h.Tokenizer, t.Prompt), "\uFFFD"))
	switch {
	case got == is, after && said == is:
		r.add(checkText, holds, "it is what the tokens say")
	case c.Finish == "stop" && (strings.HasPrefix(is, got) || after && strings.HasPrefix(is, said)):
		r.add(checkText, holds, "it is what the tokens say, up to a stop string")
	default:
		r.add(checkText, fails, "the tokens say %.200q", is)
	}
}

// tokensText is how the gateway's routes write tokens, without those that end an answer.
func tokensText(tok *tokenizer.Tokenizer, t *claim.Task, output []uint32, after bool) string {
	d := tok.NewDecoder(after)
	var b strings.Builder
	for _, id := range output {
		if t.Ends(id) {
			break
		}
		b.WriteString(strings.ToValidUTF8(d.Add(id), "\uFFFD"))
	}
	b.WriteString(strings.ToValidUTF8(d.End(), "\uFFFD"))
	return b.String()
}

// promptText is the prompt that an echo repeats.
func promptText(tok *tokenizer.Tokenizer, prompt []uint32) string { return tok.Decode(prompt) }

// sameNumbers compares an embedding as it was sent with the one that was signed. The routes
// send a vector of length 1 in float32; what was signed are whole numbers.
func sameNumbers(sent json.RawMessage, signed []int32) error {
	var list []float64
	if len(sent) > 0 && sent[0] == '"' {
		var s string
		if err := json.Unmarshal(sent, &s); err != nil {
			return err
		}
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil || len(b)%4 != 0 {
			return fmt.Errorf("the embedding is no base64 of float32: %v", err)
		}
		for ; len(b) > 0; b = b[4:] {
			list = append(list, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
		}
	} else if err := json.Unmarshal(sent, &list); err != nil {
		return fmt.Errorf("the embedding: %w", err)
	}
	if len(list) == 0 || len(list) != len(signed) {
		return fmt.Errorf("the embedding has %d numbers, and %d were signed", len(list), len(signed))
	}
	norm := 0.0
	for _, v := range signed {
		norm += float64(v) * float64(v)
	}
	norm = math.Sqrt(norm)
	for i, v := range list {
		if math.Abs(v-float64(signed[i])/norm) > 1e-6 {
			return fmt.Errorf("number %d of the embedding is %g, and another was signed", i, v)
		}
	}
	return nil
}

// recompute computes the answer again.
func (v *answerVerifier) recompute(ctx context.Context, r *answerReport, p *answer.Proof) error {
	m, err := v.models.Load(ctx, p.Model.String(), 0)
	if errors.Is(err, modeldir.ErrNone) {
		r.add(checkReplay, skipped, "%v", err)
		return nil
	}
	if err != nil {
		return err
	}
	threads := v.threads
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	runner := model.NewRunner(m, kernel.Best(), threads)
	defer runner.Close()
	err = p.Replay(ctx, m, runner)
	var differs *answer.Difference
	switch {
	case errors.As(err, &differs):
		r.FirstDifference = &differs.Token
		r.add(checkReplay, fails, "%s", differs.What)
	case err != nil:
		return fmt.Errorf("replay the answer: %w", err)
	default:
		if work.Replayed.Stronger(r.Label) && !r.any(fails) {
			r.Label = work.Replayed
		}
		r.add(checkReplay, holds, "computed again on this machine: equal to the bit")
	}
	return nil
}
