package modelcli_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/spf13/cobra"

	"github.com/cantus-network/cantus/internal/modelcli"
	"github.com/cantus-network/cantus/models"
)

// main1 is a program that has these commands and nothing else.
func main1() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var json bool
	root := &cobra.Command{Use: "cantus", SilenceErrors: true, SilenceUsage: true}
	root.PersistentFlags().BoolVar(&json, "json", false, "")
	root.AddCommand(modelcli.Command(modelcli.Program{
		Name: "cantus",
		Dir:  func() string { return filepath.Join(os.Getenv("CANTUS_HOME"), "models") },
		JSON: func() bool { return json },
		Builtin: []modelcli.Builtin{
			{Name: models.DemoName, Licence: models.DemoLicence, Open: func() io.Reader { return models.Demo() }},
		},
	}))
	if err := root.ExecuteContext(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"cantus": main1})
}

// stories is the trained test model, which lies beside the checkout.
func stories() (string, bool) {
	dir := os.Getenv("CANTUS_TEST_MODELS")
	if dir == "" {
		dir = "../../../shared/models"
	}
	path, err := filepath.Abs(filepath.Join(dir, "stories260K", "stories260K.gguf"))
	if err != nil {
		return "", false
	}
	_, err = os.Stat(path)
	return path, err == nil
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			defer l.Close()
			_, port, err := net.SplitHostPort(l.Addr().String())
			if err != nil {
				return err
			}
			path, _ := stories()
			e.Setenv("PORT", port)
			e.Setenv("STORIES", path)
			e.Setenv("CANTUS_HOME", e.WorkDir+"/home")
			e.Setenv("TERM", "dumb")
			return nil
		},
		Condition: func(cond string) (bool, error) {
			if cond != "stories" {
				return false, fmt.Errorf("unknown condition %q", cond)
			}
			_, ok := stories()
			return ok, nil
		},
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"reach": reach, "damage": damage},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}

// reach waits until a URL answers.
func reach(ts *testscript.TestScript, _ bool, args []string) {
	for range 600 {
		resp, err := http.Get(args[0])
		if err == nil {
			resp.Body.Close()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	ts.Fatalf("%s never answered", args[0])
}

// damage changes a bit in the middle of each model of a directory.
func damage(ts *testscript.TestScript, _ bool, args []string) {
	files, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*.cantus"))
	ts.Check(err)
	for _, name := range files {
		b, err := os.ReadFile(name)
		ts.Check(err)
		b[len(b)/2] ^= 1
		ts.Check(os.Chmod(name, 0o644))
		ts.Check(os.WriteFile(name, b, 0o644))
	}
}
