package main

import (
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/cantus-network/cantus/cmd/cantus/internal/cli"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"cantus": func() { os.Exit(cli.Main("test")) },
	})
}

// TestScripts runs the command as people do. Each script is a story with its own home.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("CANTUS_HOME", e.WorkDir+"/home")
			e.Setenv("HOME", e.WorkDir)
			e.Setenv("TERM", "dumb")
			return nil
		},
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
	})
}
