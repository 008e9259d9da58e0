package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"cosmossdk.io/math"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/cantus-network/cantus/cmd/cantus/internal/ask"
	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
	"github.com/cantus-network/cantus/kinds/infer/answer"
	"github.com/cantus-network/cantus/ledger/chain"
	"github.com/cantus-network/cantus/work"
)

// askFlags are what the commands that ask models have in common.
type askFlags struct {
	tab                uint64
	key, model, system string
	maxTokens          int
	temperature, topP  float64
	topK               int
	seed               int64
	stop               []string
}

func (f *askFlags) add(g *globals, c *cobra.Command) {
	s := c.Flags()
	s.Uint64Var(&f.tab, "tab", 0, "pay by this tab (default: the only one that has a key here)")
	s.StringVar(&f.key, "key", "", "pay by this API key ($CANTUS_API_KEY, which other users of this machine can't see)")
	s.StringVar(&f.model, "model", "", "model to ask (default: the tab's first)")
	s.StringVar(&f.system, "system", "", "begin with this instruction; makes the prompt a chat's")
	s.IntVar(&f.maxTokens, "max-tokens", 0, "end an answer after so many tokens (default: what the model and the tab allow)")
	s.Float64Var(&f.temperature, "temperature", 1, "how much chance there is in it; 0 for none")
	s.Float64Var(&f.topP, "top-p", 1, "draw from the likeliest tokens that have this probability together")
	s.IntVar(&f.topK, "top-k", 0, "draw from so many of the likeliest tokens; 0 for all")
	s.Int64Var(&f.seed, "seed", 0, "what chance is drawn from: the same seed gives the same answer (default: a new one each time)")
	s.StringArrayVar(&f.stop, "stop", nil, "end an answer before this text (repeatable)")
	_ = c.RegisterFlagCompletionFunc("model", g.completeModels)
	_ = c.RegisterFlagCompletionFunc("tab", func(c *cobra.Command, _ []string, s string) ([]string, cobra.ShellCompDirective) {
		return g.completeTabs(c, nil, s)
	})
}

// request is what the flags say; what was not given is the gateway's to choose.
func (f *askFlags) request(s *pflag.FlagSet) (ask.Request, error) {
	r := ask.Request{Model: f.model, MaxTokens: f.maxTokens, Stop: f.stop}
	switch {
	case f.maxTokens < 0:
		return r, usagef("--max-tokens %d: want a positive number", f.maxTokens)
	case f.temperature < 0 || f.temperature > 2:
		return r, usagef("--temperature %g: want 0 to 2", f.temperature)
	case f.topP <= 0 || f.topP > 1:
		return r, usagef("--top-p %g: want above 0 and up to 1", f.topP)
	case f.topK < 0:
		return r, usagef("--top-k %d: want 0 or a positive number", f.topK)
	}
	for name, set := range map[string]func(){ // order-free: each sets its own
		"temperature": func() { r.Temperature = &f.temperature }, "top-p": func() { r.TopP = &f.topP },
		"top-k": func() { r.TopK = &f.topK }, "seed": func() { r.Seed = &f.seed },
	} {
		if s.Changed(name) {
			set()
		}
	}
	return r, nil
}

// credentials finds a gateway and an API key for it.
func (g *globals) credentials(f askFlags) (base, key string, err error) {
	if key = f.key; key == "" {
		key = os.Getenv("CANTUS_API_KEY")
	}
	if key != "" && f.tab == 0 {
		if g.gateway != "" {
			return g.gateway, key, nil
		}
		net, err := g.home().ReadNetwork()
		if err != nil {
			return "", "", fmt.Errorf("which gateway to ask: %w", err)
		}
		return net.Gateway, key, nil
	}
	tabs, err := g.home().Tabs()
	if err != nil {
		return "", "", err
	}
	chain := ""
	if net, err := g.home().ReadNetwork(); err == nil {
		chain = net.ChainID
	}
	var usable []home.Tab
	for _, t := range tabs {
		_, good := t.Usable(time.Now().Unix())
		if f.tab != 0 && t.Job == f.tab || f.tab == 0 && t.Job != 0 && good && (chain == "" || t.Chain == chain) {
			usable = append(usable, t)
		}
	}
	switch {
	case len(usable) == 0 && f.tab != 0:
		return "", "", fmt.Errorf("job %d is no tab that was opened from %s: `cantus tab list` shows those", f.tab, g.home())
	case len(usable) == 0:
		return "", "", fmt.Errorf("no tab pays for answers here: open one with `cantus tab open`, or give an API key in CANTUS_API_KEY")
	}
	// Of several, the newest: the others are likely closed or used up.
	t := usable[len(usable)-1]
	k, good := t.Usable(time.Now().Unix())
	if !good {
		return "", "", fmt.Errorf("tab %d has no API key here that is good: `cantus tab key create %d` makes one", t.Job, t.Job)
	}
	if base, err = g.gatewayOf(t); err != nil {
		return "", "", err
	}
	return base, k.Token, nil
}

// asker makes a client by the flags, and chooses the model where they don't.
func (g *globals) asker(ctx context.Context, f *askFlags) (*ask.Client, error) {
	base, key, err := g.credentials(*f)
	if err != nil {
		return nil, err
	}
	c, err := ask.New(base, key)
	if err != nil || f.model != "" {
		return c, err
	}
	models, err := c.Models(ctx)
	if err != nil {
		return nil, err
	}
	if len(models) == 0 {
		return nil, fmt.Errorf("the gateway at %s has none of the tab's models: import or pull one there (`cantus model`)", base)
	}
	f.model = models[0].ID
	return c, nil
}

func inferCommand(g *globals) *cobra.Command {
	var f askFlags
	var prompt, out string
	var stream, whole bool
	c := &cobra.Command{
		Use:   "infer --prompt TEXT|-",
		Short: "Have a model go on with a text, and get the answer with its receipt",
		Long: `Asks a gateway by OpenAI's routes and prints the answer. On standard error it says what it cost
and who answers for it. --out keeps the whole reply with its receipt, for "cantus verify".

A prompt is gone on with as it is, which is what base models do. With --chat or --system it is
what a user says in a chat, in the model's own template.`,
		Example: `  cantus infer --prompt "Once upon a time" --max-tokens 64 --out answer.json
  cantus infer --prompt - --seed 7 < question.txt
  cantus verify answer.json --replay`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := f.request(cmd.Flags())
			if err != nil {
				return err
			}
			text := prompt
			if prompt == "-" {
				if text, err = readPrompt(cmd.InOrStdin()); err != nil {
					return err
				}
			}
			if text == "" {
				return usagef("--prompt: want a text, or - for standard input")
			}
			if out != "" {
				if _, err := os.Stat(out); err == nil {
					return usagef("--out %s is there already: choose another name", out)
				}
			}
			client, err := g.asker(cmd.Context(), &f)
			if err != nil {
				return err
			}
			r.Model = f.model
			if r.Prompt = text; f.system != "" || whole {
				r.Prompt, r.Messages = "", said(f.system, text)
			} else if r.MaxTokens == 0 {
				r.MaxTokens = 128 // OpenAI's route would stop after 16
			}
			var say func(string)
			if stream && !g.json {
				say = func(s string) { io.WriteString(cmd.OutOrStdout(), s) }
			}
			a, err := client.Ask(cmd.Context(), r, say)
			if err != nil {
				return interrupted(cmd.Context(), err)
			}
			if err := a.Proof.Check(); err != nil {
				return fmt.Errorf("the gateway at %s gave an answer with a receipt that is worth nothing: %w", client.Base(), err)
			}
			if out != "" {
				if err := writeAnswer(out, a.Reply); err != nil {
					return err
				}
			}
			if g.json {
				return printJSON(cmd.OutOrStdout(), json.RawMessage(a.Reply))
			}
			if say == nil {
				io.WriteString(cmd.OutOrStdout(), a.Text)
			}
			fmt.Fprintln(cmd.OutOrStdout())
			_, err = fmt.Fprintln(cmd.ErrOrStderr(), receiptLine(a))
			return err
		},
	}
	f.add(g, c)
	fl := c.Flags()
	fl.StringVar(&prompt, "prompt", "", "the text to go on with; - reads it from standard input")
	fl.BoolVar(&whole, "chat", false, "the prompt is what a user says in a chat")
	fl.BoolVar(&stream, "stream", false, "print the answer while it comes about")
	fl.StringVar(&out, "out", "", "keep the reply with its receipt in this `file`")
	_ = c.MarkFlagRequired("prompt")
	return c
}

// maxPrompt is how much of a prompt is read: more than any model's context.
const maxPrompt = 4 << 20

func readPrompt(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(r, maxPrompt+1))
	if err != nil {
		return "", fmt.Errorf("read the prompt: %w", err)
	}
	if len(b) > maxPrompt {
		return "", usagef("the prompt is longer than %d bytes", maxPrompt)
	}
	return strings.TrimSuffix(string(b), "\n"), nil
}

// said is a chat of one turn.
func said(system, user string) []ask.Message {
	var list []ask.Message
	if system != "" {
		list = append(list, ask.Message{Role: "system", Content: system})
	}
	return append(list, ask.Message{Role: "user", Content: user})
}

// interrupted names an error that comes of Ctrl-C.
func interrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: what was answered until then is paid", errInterrupted)
	}
	return err
}

// writeAnswer keeps a reply in a new file.
func writeAnswer(path string, reply []byte) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("keep the answer: %w", err)
	}
	_, err = f.Write(append(reply, '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("keep the answer in %s: %w", path, err)
	}
	return nil
}

// receiptLine says what an answer cost and who answers for it. Its label is that of a
// signature: nobody else has looked at it yet.
func receiptLine(a *ask.Answer) string {
	p := a.Proof
	parts := []string{}
	if t, r, err := p.Claim(); err == nil {
		parts = append(parts, fmt.Sprintf("%d tokens for %d", len(r.Output), len(t.Prompt)))
		if s := (a.Took - min(a.First, a.Took)).Seconds(); len(r.Output) > 1 && s > 0 {
			parts = append(parts, fmt.Sprintf("first after %.2f s, then %.1f tokens/s", a.First.Seconds(), float64(len(r.Output)-1)/s))
		} else if s := a.Took.Seconds(); s > 0 {
			parts = append(parts, fmt.Sprintf("%.1f tokens/s", float64(len(r.Output))/s))
		}
	}
	parts = append(parts, costOf(p), fmt.Sprintf("job %d, task %d, worker %s: %s", p.Job, p.Seq, p.Worker.Short(), work.Asserted))
	return strings.Join(parts, " · ")
}

func costOf(p *answer.Proof) string {
	if cost, ok := p.Cost(); ok {
		return fmt.Sprintf("%s (%d units)", chain.FormatAmount(math.NewIntFromBigInt(cost)), p.Units)
	}
	return fmt.Sprintf("%d units", p.Units)
}
