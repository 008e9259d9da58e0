package settings_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"

	"github.com/cantus-network/cantus/internal/settings"
)

func flagSet() *pflag.FlagSet {
	f := pflag.NewFlagSet("test", pflag.ContinueOnError)
	f.String("listen", "127.0.0.1:1", "")
	f.String("plane", "127.0.0.1:2", "")
	f.Duration("drain", 30*time.Second, "")
	f.StringSlice("acme-domain", nil, "")
	f.Bool("claim", true, "")
	f.Int("workers", 4, "")
	f.String("log-level", "warn", "")
	f.String("home", "/h", "")
	f.String("config", "", "")
	return f
}

func write(t *testing.T, text string) string {
	p := filepath.Join(t.TempDir(), "c.toml")
	require.NoError(t, os.WriteFile(p, []byte(text), 0o600))
	return p
}

func options(file string) settings.Options {
	return settings.Options{
		Env: func(f string) string {
			return map[string]string{"plane": "T_PLANE", "drain": "T_DRAIN", "log-level": "T_LOG"}[f]
		},
		File: file, Not: []string{"home"}, Others: []string{"up"},
		Table: func(f string) string {
			if f == "log-level" {
				return ""
			}
			return "gateway"
		},
	}
}

func TestOrder(t *testing.T) {
	file := write(t, `
log-level = "debug"
[gateway]
listen = "file:1"
plane = "file:2"
drain = "1m"
claim = false
workers = 7
acme-domain = ["a.example", "b.example"]
[up]
anything = "is another command's"
`)
	f := flagSet()
	require.NoError(t, f.Parse([]string{"--listen", "flag:1"}))
	t.Setenv("T_PLANE", "env:2")
	all, err := settings.Apply(f, options(file))
	require.NoError(t, err)
	got := map[string][2]string{}
	for _, s := range all {
		got[s.Name] = [2]string{s.Value, s.From}
	}
	require.Equal(t, map[string][2]string{
		"listen": {"flag:1", "--listen"}, "plane": {"env:2", "$T_PLANE"}, "drain": {"1m0s", file}, "claim": {"false", file},
		"workers": {"7", file}, "acme-domain": {"[a.example,b.example]", file}, "log-level": {"debug", file},
		"home": {"/h", "default"}, "config": {"", "default"},
	}, got)
	domains, err := f.GetStringSlice("acme-domain")
	require.NoError(t, err)
	require.Equal(t, []string{"a.example", "b.example"}, domains)
}

func TestMistakes(t *testing.T) {
	for text, says := range map[string]string{
		"[gateway]\nlissten = \"x\"":                `there is no setting "lissten" in [gateway]: the settings are the flags that --help lists, without the dashes; did you mean "listen"?`,
		"loglevel = \"x\"":                          `did you mean "log-level"?`,
		"listen = \"x\"":                            `there is no setting "listen"`,
		"[gatewey]\nlisten = \"x\"":                 `there is no table [gatewey]; did you mean "gateway"?`,
		"[gateway]\nhome = \"x\"":                   `there is no setting "home"`,
		"[gateway]\nconfig = \"x\"":                 `there is no setting "config"`,
		"[gateway]\nqqqqqqqqqqqq = 1":               "without the dashes",
		"[gateway]\ndrain = \"soon\"":               "drain",
		"[gateway]\nworkers = [1, 2]":               "one value, not a list",
		"[gateway]\nacme-domain = [[\"x\"]]":        "want a text",
		"[gateway.listen]\na = 1":                   "want a text",
		"[gateway]\nlisten = \"x\"\nlisten = \"y\"": "read the configuration",
		"[": "read the configuration",
	} {
		_, err := settings.Apply(flagSet(), options(write(t, text)))
		require.ErrorContains(t, err, says, text)
	}
	o := options(filepath.Join(t.TempDir(), "none.toml"))
	_, err := settings.Apply(flagSet(), o)
	require.ErrorIs(t, err, os.ErrNotExist)
	o.Optional = true
	_, err = settings.Apply(flagSet(), o)
	require.NoError(t, err)
	t.Setenv("T_DRAIN", "soon")
	_, err = settings.Apply(flagSet(), o)
	require.ErrorContains(t, err, "T_DRAIN")
}

// FuzzFile: whatever a file holds, it is applied or refused.
func FuzzFile(f *testing.F) {
	f.Add("[gateway]\nlisten = \"x\"\nacme-domain = [\"a\"]\n")
	f.Add("log-level = \"info\"\n[up]\nx = 1979-05-27\n")
	f.Fuzz(func(t *testing.T, text string) {
		if all, err := settings.Apply(flagSet(), options(write(t, text))); err == nil && len(all) != 9 {
			t.Fatalf("%d settings", len(all))
		}
	})
}
