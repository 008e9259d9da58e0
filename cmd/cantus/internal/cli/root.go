// Package cli is the cantus command: one file a group of subcommands, each of which only
// reads flags, calls the rooms that do the work, and prints.
//
//	root.go     Root, global flags, errors
//	session.go  the network that a command talks to
//	up.go       up: a one-machine network in the foreground
//	crawl.go    crawl: a job from its spec to a verified dataset
//	demo.go     demo: up, crawl, verify and trace in one go
//	verify.go   verify; trace.go: trace
//	verify_answer.go  verify ANSWER.json; verify_ledger.go: what the ledger says of one
//	job.go      job list|show|close; order.go: opening one
//	tab.go      tab open|topup|close
//	tab_show.go tab list|show|env|key; tab_models.go: the models of a new one
//	infer.go    infer; what commands that ask models have in common
//	chat.go     chat
//	model.go    model import|list|show|pull|serve|remove|verify
//	worker.go   worker list|enroll|start
//	gateway.go  gateway list|register|cells
//	gateway_start.go  gateway start
//	gateway_ops.go    gateway drain|backup|restore
//	config.go   config; flags, environment and file
//	account.go  account create|import|show|list|send
//	status.go   status
package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/cmd/cantus/internal/home"
)

// globals are the flags that every command has.
type globals struct {
	homeFlag  string
	json      bool
	logLevel  string
	logFormat string
	grpc      string
	gateway   string
	config    string
	pprof     string
	version   string
}

func (g *globals) home() home.Dir { return home.Dir(g.homeFlag) }

// logger writes to w as the flags say.
func (g *globals) logger(w io.Writer) (*slog.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(g.logLevel)); err != nil {
		return nil, fmt.Errorf("--log-level %q: one of debug, info, warn, error", g.logLevel)
	}
	opts := &slog.HandlerOptions{Level: level}
	switch g.logFormat {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	}
	return nil, fmt.Errorf("--log-format %q: text or json", g.logFormat)
}

// Root is the whole command.
func Root(version string) *cobra.Command {
	g := &globals{version: version}
	root := &cobra.Command{
		Use:   "cantus",
		Short: "An open network for AI work that nobody has to trust",
		Long: `Cantus is an open network for AI work that nobody has to trust: a ledger escrows the
money, picks who checks what and pays; workers do the work; everything they deliver carries
evidence that an outsider can check.

  cantus up --workers 4                 a one-machine network, until Ctrl-C
  cantus crawl https://example.org/ --out DIR
                                        crawl a site into a dataset, checked and paid
  cantus tab open --models demo         open a tab that pays for answers, and get an API key
  cantus chat                           talk with a model, each answer with its receipt
  cantus verify DIR|ANSWER.json         check a dataset or an answer against the ledger`,
		Version:       version,
		SilenceUsage:  true,
		SilenceErrors: true,
		// Profiles last as long as the process: nothing has to stop them.
		PersistentPreRunE: func(*cobra.Command, []string) error { return g.profiles() },
	}
	f := root.PersistentFlags()
	f.StringVar(&g.homeFlag, "home", string(home.Default()), "directory for keys, state and configuration ($CANTUS_HOME)")
	f.BoolVar(&g.json, "json", false, "print JSON for scripts")
	f.StringVar(&g.logLevel, "log-level", env("CANTUS_LOG_LEVEL", "warn"), "debug, info, warn or error ($CANTUS_LOG_LEVEL)")
	f.StringVar(&g.logFormat, "log-format", env("CANTUS_LOG_FORMAT", "text"), "text or json ($CANTUS_LOG_FORMAT)")
	f.StringVar(&g.grpc, "grpc", os.Getenv("CANTUS_GRPC"), "gRPC address of a ledger node, host:port ($CANTUS_GRPC); default: the network of the home directory")
	f.StringVar(&g.gateway, "gateway", os.Getenv("CANTUS_GATEWAY"), "URL of a gateway ($CANTUS_GATEWAY); default: the network of the home directory")
	f.StringVar(&g.config, "config", os.Getenv("CANTUS_CONFIG"), "configuration `file` of the commands that run long ($CANTUS_CONFIG); default: cantus.toml in --home, if there is one")
	f.StringVar(&g.pprof, "pprof", "", "serve Go's profiles on this loopback address, for example 127.0.0.1:6060")
	root.AddCommand(
		upCommand(g), crawlCommand(g), inferCommand(g), chatCommand(g), tabCommand(g), demoCommand(g), verifyCommand(g), traceCommand(g),
		jobCommand(g), requestCommand(g), modelCommand(g), workerCommand(g), gatewayCommand(g), accountCommand(g), ledgerCommand(g), statusCommand(g), configCommand(g),
	)
	return root
}

func env(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

// errInterrupted ends a command that the user stopped.
var errInterrupted = errors.New("interrupted")

// Main runs the command and returns its exit code: 0, 1 for a failure, 2 for a wrong
// command line, 3 for what could not be found out, 130 after Ctrl-C.
func Main(version string) (code int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// A second Ctrl-C ends the process at once.
	go func() { <-ctx.Done(); stop() }()
	root := Root(version)
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w\nSee `%s --help`", err, c.CommandPath())}
	})
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	fmt.Fprintf(os.Stderr, "cantus: %s\n", strings.TrimSpace(err.Error()))
	var usage usageError
	switch {
	case errors.Is(err, errInterrupted), ctx.Err() != nil:
		return 130
	case errors.As(err, &usage):
		return 2
	case errors.Is(err, errUndecided):
		return 3
	}
	return 1
}

// usageError is a wrong command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }
