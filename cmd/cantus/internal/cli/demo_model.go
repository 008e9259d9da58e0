package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/cantus-network/cantus/cmd/cantus/internal/ask"
	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/cmd/cantus/internal/market"
	"github.com/cantus-network/cantus/internal/modeldir"
	"github.com/cantus-network/cantus/internal/progress"
	"github.com/cantus-network/cantus/kinds/infer/tab"
	worktypes "github.com/cantus-network/cantus/ledger/x/work/types"
	"github.com/cantus-network/cantus/models"
	"github.com/cantus-network/cantus/work"
)

// importDemo puts the demo model into the home's models, unless it is there.
func importDemo(ctx context.Context, h home.Dir) error {
	if err := h.Create(); err != nil {
		return err
	}
	_, err := modeldir.At(h.Models()).Add(ctx, models.Demo(), modeldir.Options{
		Name: models.DemoName, Licence: models.DemoLicence, Source: "built into cantus",
	})
	return err
}

// demoTab is the tab that a one-machine network has from the start.
type demoTab struct {
	Tab     uint64 `json:"tab,omitempty"`
	BaseURL string `json:"openai_base_url,omitempty"`
	KeyFile string `json:"api_key_file,omitempty"` // the tab's record, with its API keys
	Speaker string `json:"speaker,omitempty"`      // what contracts call it by
}

// openDemoTab opens a tab for the demo model, or finds the one that an earlier run opened.
func (g *globals) openDemoTab(ctx context.Context, net home.Network) (demoTab, error) {
	s, err := g.connectTo(ctx, net)
	if err != nil {
		return demoTab{}, err
	}
	defer s.Close()
	c, err := ask.New(net.Gateway, "")
	if err != nil {
		return demoTab{}, err
	}
	out := demoTab{BaseURL: c.Base()}
	if out.Speaker, err = g.offerDemo(ctx, s); err != nil {
		return out, err
	}
	tabs, err := s.tabs(ctx)
	if err != nil {
		return out, err
	}
	for _, t := range slices.Backward(tabs) {
		if spec, err := tab.Decode(t.Spec); err != nil || spec.Models[0].Name != models.DemoName {
			continue
		}
		if _, good := t.Usable(time.Now().Unix()); !good {
			continue
		}
		j, err := s.Job(ctx, work.JobID(t.Job))
		if err != nil {
			return out, err
		}
		if j.Status == work.JobOpen {
			out.Tab, out.KeyFile = t.Job, g.home().TabRecord(t.Key)
			return out, nil
		}
	}
	f := usualTab()
	f.models, f.label = []string{models.DemoName}, "demo"
	if err := f.check(); err != nil {
		return out, err
	}
	opened, err := s.openTab(ctx, &f)
	if err != nil {
		return out, fmt.Errorf("open a tab for the demo model: %w", err)
	}
	out.Tab, out.KeyFile = opened.Job, opened.Record
	return out, nil
}

// demoQuestion is what the demo asks: the model was made to say what words mean.
const demoQuestion = "What is a violin?"

// toldDemo is what came of the demo's question.
type toldDemo struct {
	Question string         `json:"question"`
	Text     string         `json:"text"`
	File     string         `json:"file"`
	Line     string         `json:"-"`
	Report   *answerReport  `json:"verify"`
	Account  market.Account `json:"account"`
}

func (t *toldDemo) bad() bool { return t.Report.any(fails) || t.Report.any(skipped) }

func (t *toldDemo) print(w io.Writer) error {
	fmt.Fprintf(w, "\n> %s\n%s\n%s\n\n", t.Question, t.Text, t.Line)
	if err := printAnswers(w, []*answerReport{t.Report}, t.bad(), false); err != nil {
		return err
	}
	fmt.Fprintln(w)
	return printAccount(w, t.Account)
}

// demoAnswer opens a tab of which every answer is audited, asks, closes the tab, and
// verifies the answer once its epoch is settled.
func (s *session) demoAnswer(ctx context.Context, dir string, show *progress.Printer) (*toldDemo, error) {
	f := usualTab()
	f.models, f.escrow, f.audit, f.epoch = []string{models.DemoName}, "1note", 100, 5
	if err := f.check(); err != nil {
		return nil, err
	}
	opened, err := s.openTab(ctx, &f)
	if err != nil {
		return nil, err
	}
	c, err := ask.New(s.net.Gateway, opened.Key)
	if err != nil {
		return nil, err
	}
	show.Step("asking the demo model: "+demoQuestion, map[string]any{"event": "asking", "tab": opened.Job})
	seed, warm := int64(1), 0.5
	a, err := c.Ask(ctx, ask.Request{Model: models.DemoName, Messages: said("", demoQuestion), Seed: &seed, Temperature: &warm}, nil)
	if err != nil {
		return nil, err
	}
	t := &toldDemo{Question: demoQuestion, Text: a.Text, File: filepath.Join(dir, "answer.json"), Line: receiptLine(a), Report: newReport(a.Proof)}
	if err := writeAnswer(t.File, a.Reply); err != nil {
		return nil, err
	}
	buyer, err := s.account(f.from)
	if err != nil {
		return nil, err
	}
	if _, _, err := s.send(ctx, buyer.Name, &worktypes.MsgCloseJob{Buyer: buyer.Address.String(), Job: opened.Job}); err != nil {
		return nil, err
	}
	show.Step("waiting until the answer is audited and paid", map[string]any{"event": "settling", "tab": opened.Job})
	if err := s.waitFinal(ctx, work.JobID(opened.Job)); err != nil {
		return nil, err
	}
	reply, proofs, err := readAnswers(t.File)
	if err != nil {
		return nil, err
	}
	v := &answerVerifier{g: s.g, s: s, models: modeldir.At(s.g.home().Models()), replay: true, errs: io.Discard}
	if err := v.verify(ctx, t.Report, proofs[0], reply, 0); err != nil {
		return nil, err
	}
	t.Account, err = s.AccountOf(ctx, work.JobID(opened.Job))
	return t, err
}

// waitFinal waits until nothing more can happen to a job but claims, and those are made.
func (s *session) waitFinal(ctx context.Context, id work.JobID) error {
	wait, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	gw, err := s.gatewayAPI()
	if err != nil {
		return err
	}
	for {
		j, err := s.JobRecord(wait, id)
		if err == nil && market.Final(j.Status) {
			if at, err := gw.Job(wait, id); err == nil && at.Claimed {
				return nil
			}
		}
		select {
		case <-wait.Done():
			return errors.Join(fmt.Errorf("job %d did not end within two minutes", id), err, ctx.Err())
		case <-time.After(150 * time.Millisecond):
		}
	}
}
