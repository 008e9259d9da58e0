package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/cmd/cantus/internal/ask"
	"github.com/cantus-network/cantus/internal/progress"
)

const chatHelp = `  /model NAME   go on with another model; without a name, list those that the tab has
  /system TEXT  set the instruction that the conversation begins with
  /reset        forget the conversation
  /save FILE    keep the last answer with its receipt, for "cantus verify"
  /cost         what this conversation cost so far
  /exit         end, as does Ctrl-D; Ctrl-C stops an answer
`

func chatCommand(g *globals) *cobra.Command {
	var f askFlags
	c := &cobra.Command{
		Use:   "chat",
		Short: "Talk with a model in the terminal, each answer with its price and receipt",
		Long: `Talks with a model, line by line. After each answer it says how fast it came, what it cost and
who answers for it. Commands in the conversation:

` + chatHelp,
		Example: "  cantus chat --system \"You answer in one sentence.\"",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			r, err := f.request(cmd.Flags())
			if err != nil {
				return err
			}
			client, err := g.asker(cmd.Context(), &f)
			if err != nil {
				return err
			}
			r.Model = f.model
			v := &conversation{
				client: client, request: r, system: f.system, out: cmd.OutOrStdout(), errs: cmd.ErrOrStderr(),
				prompt: progress.Detect(os.Stdout, g.json) == progress.Terminal,
			}
			return v.run(cmd.Context(), cmd.InOrStdin())
		},
	}
	f.add(g, c)
	return c
}

// conversation is one chat.
type conversation struct {
	client    *ask.Client
	request   ask.Request
	system    string
	turns     []ask.Message
	last      *ask.Answer
	units     uint64
	answers   int
	out, errs io.Writer
	prompt    bool // somebody looks on
}

// run talks until the input ends or somebody says so. A signal that stops an answer does
// not stop the conversation; one between answers does.
func (v *conversation) run(ctx context.Context, in io.Reader) error {
	// Until here a signal ended ctx, which the whole command hangs on. From now on it is
	// for the answer under way.
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt)
	defer signal.Stop(signals)
	ctx = context.WithoutCancel(ctx)

	lines, failed := make(chan string), make(chan error, 1)
	go func() {
		s := bufio.NewScanner(in)
		s.Buffer(nil, maxPrompt)
		for s.Scan() {
			lines <- s.Text()
		}
		failed <- s.Err()
	}()
	if v.prompt {
		fmt.Fprintf(v.errs, "%s; /help says what else there is\n", v.request.Model)
	}
	for {
		if v.prompt {
			fmt.Fprint(v.out, "> ")
		}
		select {
		case line := <-lines:
			if v.line(ctx, strings.TrimSpace(line), signals) {
				return nil
			}
		case err := <-failed:
			if v.prompt {
				fmt.Fprintln(v.out)
			}
			if err != nil {
				return fmt.Errorf("read what you say: %w", err)
			}
			return nil
		case <-signals:
			fmt.Fprintln(v.out)
			return nil
		}
	}
}

// line does what a line says. Errors are told, and the conversation goes on.
func (v *conversation) line(ctx context.Context, line string, signals <-chan os.Signal) (exit bool) {
	if line == "" {
		return false
	}
	if line[0] == '/' {
		name, arg, _ := strings.Cut(line, " ")
		exit, err := v.command(ctx, name, strings.TrimSpace(arg))
		if err != nil {
			fmt.Fprintln(v.errs, err)
		}
		return exit
	}
	if err := v.ask(ctx, line, signals); err != nil {
		fmt.Fprintln(v.errs, err)
	}
	return false
}

func (v *conversation) command(ctx context.Context, name, arg string) (exit bool, err error) {
	switch name {
	case "/exit", "/quit":
		return true, nil
	case "/help":
		fmt.Fprint(v.errs, chatHelp)
	case "/reset":
		v.turns, v.last = nil, nil
	case "/system":
		v.system = arg
	case "/cost":
		fmt.Fprintf(v.errs, "%d answers, %d units\n", v.answers, v.units)
	case "/save":
		switch {
		case arg == "":
			return false, errors.New("/save FILE: which file?")
		case v.last == nil:
			return false, errors.New("/save: there is no answer yet")
		}
		if err := writeAnswer(arg, v.last.Reply); err != nil {
			return false, err
		}
		fmt.Fprintf(v.errs, "kept; `cantus verify %s` checks it\n", arg)
	case "/model":
		models, err := v.client.Models(ctx)
		if err != nil {
			return false, err
		}
		var names []string
		for _, m := range models {
			if m.ID == arg {
				v.request.Model = arg
				return false, nil
			}
			names = append(names, m.ID)
		}
		if arg != "" {
			return false, fmt.Errorf("/model: the tab has no %q: it has %s", arg, strings.Join(names, ", "))
		}
		fmt.Fprintln(v.errs, strings.Join(names, ", "))
	default:
		return false, fmt.Errorf("%s: no such command; /help lists them", name)
	}
	return false, nil
}

// ask says something and shows the answer as it comes.
func (v *conversation) ask(ctx context.Context, text string, signals <-chan os.Signal) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	over, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-signals:
			cancel(errInterrupted)
		case <-over:
		}
	}()
	defer func() {
		close(over)
		<-watched
		select {
		case <-signals: // it was for this answer, which ended first
		default:
		}
	}()
	turns := append(v.turns[:len(v.turns):len(v.turns)], ask.Message{Role: "user", Content: text})
	r := v.request
	if r.Messages = turns; v.system != "" {
		r.Messages = append([]ask.Message{{Role: "system", Content: v.system}}, turns...)
	}
	var shown strings.Builder
	a, err := v.client.Ask(ctx, r, func(s string) {
		shown.WriteString(s)
		io.WriteString(v.out, s)
	})
	if shown.Len() > 0 {
		fmt.Fprintln(v.out)
	}
	switch {
	case errors.Is(err, errInterrupted):
		// What was said stays in the conversation, as in people's memory.
		v.turns = append(turns, ask.Message{Role: "assistant", Content: shown.String()})
		fmt.Fprintln(v.errs, "stopped; what was answered until then is paid")
		return nil
	case err != nil:
		return err
	}
	v.turns = append(turns, ask.Message{Role: "assistant", Content: a.Text})
	v.last, v.units, v.answers = a, v.units+a.Proof.Units, v.answers+1
	if err := a.Proof.Check(); err != nil {
		return fmt.Errorf("the receipt of this answer is worth nothing: %w", err)
	}
	fmt.Fprintln(v.errs, receiptLine(a))
	return nil
}
