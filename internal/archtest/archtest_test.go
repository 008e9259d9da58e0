package archtest

import (
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

var rules = map[string]func(*Module) []Violation{
	"imports":       Imports,
	"worker":        WorkerStaysSmall,
	"referees":      RefereesStaySmall,
	"consensus":     Consensus,
	"file sizes":    FileSizes,
	"package names": PackageNames,
	"inits":         Inits,
	"package docs":  PackageDocs,
	"unfinished":    Unfinished,
}

// TestThisModule holds the rules for the repository that this test lies in.
func TestThisModule(t *testing.T) {
	m, err := Load(os.DirFS("../.."))
	require.NoError(t, err)
	require.Contains(t, m.Packages, "work", "looked in the wrong place")
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			for _, v := range rule(m) {
				t.Error(v)
			}
		})
	}
}

// module builds a module from files; those without a package comment get one.
func module(t *testing.T, files map[string]string) *Module {
	t.Helper()
	root := fstest.MapFS{"go.mod": {Data: []byte("module example.org/m\n\ngo 1.26\n")}}
	for name, src := range files {
		if strings.HasPrefix(src, "package ") {
			src = "// Package comment.\n" + src
		}
		root[name] = &fstest.MapFile{Data: []byte(src)}
	}
	m, err := Load(root)
	require.NoError(t, err)
	return m
}

func TestRulesFindWhatTheyForbid(t *testing.T) {
	importing := func(name, path string) string {
		return "package " + name + "\n\nimport _ \"" + path + "\"\n"
	}
	body := func(imports, code string) map[string]string {
		return map[string]string{"ledger/x/work/keeper/k.go": "package keeper\n\n" + imports + "\n\nfunc f() {\n" + code + "\n}\n"}
	}
	for _, tc := range []struct {
		name  string
		rule  func(*Module) []Violation
		files map[string]string
		want  string // in the one violation; empty for none
	}{
		{"work may import artifact", Imports, map[string]string{"work/a.go": importing("work", "example.org/m/artifact")}, ""},
		{"work may not import plane", Imports, map[string]string{"work/a.go": importing("work", "example.org/m/plane")}, "work may import only"},
		{"a kind below may import its kind", Imports, map[string]string{"kinds/crawl/warc/a.go": importing("warc", "example.org/m/kinds/crawl/text")}, ""},
		{"a kind may not import another", Imports, map[string]string{"kinds/crawl/a.go": importing("crawl", "example.org/m/kinds/infer")}, "kinds may import only"},
		{"the list may import kinds", Imports, map[string]string{"kinds/all/a.go": importing("all", "example.org/m/kinds/infer")}, ""},
		{"the list may not import more", Imports, map[string]string{"kinds/all/a.go": importing("all", "example.org/m/scheduler")}, "kinds/all may import only"},
		{"the scheduler may not import the ledger", Imports, map[string]string{"scheduler/a.go": importing("scheduler", "example.org/m/ledger/chain")}, "scheduler may import only"},
		{"nor may its tests", Imports, map[string]string{"scheduler/a_test.go": importing("scheduler", "example.org/m/ledger/chain")}, "link the ledger"},
		{"its tests may import kinds", Imports, map[string]string{"scheduler/a_test.go": importing("scheduler", "example.org/m/kinds/crawl")}, ""},
		{"a product may not import test networks", Imports, map[string]string{"gateway/a.go": importing("gateway", "example.org/m/internal/testnet")}, "which is for tests"},
		{"nor what other packages' tests use", Imports, map[string]string{"gateway/a.go": importing("gateway", "example.org/m/work/worktest")}, "which is for tests"},
		{"support for tests may import what tests may", Imports, map[string]string{"artifact/artifacttest/a.go": importing("artifacttest", "example.org/m/work")}, ""},
		{"but not link the ledger", Imports, map[string]string{"artifact/artifacttest/a.go": importing("artifacttest", "example.org/m/ledger")}, "link the ledger"},
		{"cmd ties everything", Imports, map[string]string{"cmd/cantus/a.go": importing("main", "example.org/m/ledger")}, ""},

		{"the worker links the ledger through others", WorkerStaysSmall, map[string]string{
			"cmd/cantus-worker/main.go": importing("main", "example.org/m/a"),
			"a/a.go":                    importing("a", "example.org/m/ledger/chain"),
			"ledger/chain/c.go":         "package chain\n",
		}, "cmd/cantus-worker → a → ledger/chain"},
		{"the worker links the SDK", WorkerStaysSmall, map[string]string{
			"cmd/cantus-worker/main.go": importing("main", "example.org/m/a"),
			"a/a.go":                    importing("a", "github.com/cosmos/cosmos-sdk/types"),
		}, "cosmos-sdk"},
		{"what its tests import is not linked", WorkerStaysSmall, map[string]string{
			"cmd/cantus-worker/main.go":   "package main\n",
			"cmd/cantus-worker/a_test.go": importing("main", "example.org/m/ledger"),
		}, ""},

		{"a referee links the engine through others", RefereesStaySmall, map[string]string{
			"exact/referee/r.go": importing("referee", "example.org/m/exact/trace"),
			"exact/trace/t.go":   importing("trace", "example.org/m/exact/model"),
			"exact/model/m.go":   "package model\n",
		}, "exact/referee → exact/trace → exact/model"},
		{"a referee may compute", RefereesStaySmall, map[string]string{
			"exact/referee/r.go": importing("referee", "example.org/m/exact"),
			"exact/e.go":         "package exact\n",
		}, ""},
		{"the ledger may not import the engine", Imports, map[string]string{"ledger/x/work/a.go": importing("work", "example.org/m/exact/model")}, "ledger may import only"},
		{"but may import the referee", Imports, map[string]string{"ledger/x/work/a.go": importing("work", "example.org/m/exact/referee")}, ""},
		{"the ledger may read records of pages", Imports, map[string]string{"ledger/x/requests/a.go": importing("requests", "example.org/m/work/page")}, ""},
		{"but may not link the crawler", Imports, map[string]string{"ledger/x/requests/a.go": importing("requests", "example.org/m/kinds/crawl")}, "ledger may import only"},
		{"records of pages are consensus", Consensus, map[string]string{"work/page/p.go": "package page\n\nvar x float64\n"}, "float64"},
		{"exact arithmetic is consensus", Consensus, map[string]string{"exact/e.go": "package exact\n\nvar x float64\n"}, "float64"},
		{"the engine is not", Consensus, map[string]string{"exact/model/m.go": "package model\n\nfunc f() { go f() }\n"}, ""},

		{"clock", Consensus, body(`import "time"`, "_ = time.Now()"), "time.Now"},
		{"clock under another name", Consensus, body(`import clock "time"`, "_ = clock.Since"), "time.Since"},
		{"durations are no clock", Consensus, body(`import "time"`, "_ = time.Second"), ""},
		{"randomness", Consensus, body(`import _ "math/rand/v2"`, ""), "randomness"},
		{"float literal", Consensus, body("", "_ = 1.5"), "floating-point number 1.5"},
		{"float type", Consensus, body("", "var x float64; _ = x"), "float64"},
		{"goroutine", Consensus, body("", "go f()"), "go statement"},
		{"select", Consensus, body("", "select {}"), "select"},
		{"map literal", Consensus, body("", "for range map[string]int{} {}"), "range over a map"},
		{"map variable", Consensus, body("", "m := make(map[string]int); for k := range m { _ = k }"), "range over a map"},
		{"map with a reason", Consensus, body("", "m := make(map[string]int)\n// order-free: only counts\nfor range m {}"), ""},
		{"map without a reason", Consensus, body("", "m := make(map[string]int)\n// order-free:\nfor range m {}"), "range over a map"},
		{"keys", Consensus, body(`import "maps"`, "m := make(map[string]int); for range maps.Keys(m) {}"), "maps.Keys"},
		{"collected keys", Consensus, body(`import ("maps"; "slices")`, "m := make(map[string]int); _ = slices.Collect(maps.Keys(m))"), "maps.Keys"},
		{"sorted keys", Consensus, body(`import ("maps"; "slices")`, "m := make(map[string]int); for range slices.Sorted(maps.Keys(m)) {}"), ""},
		{"slice", Consensus, body("", "for range []int{1} {}"), ""},
		{"map of another of our packages, through a library's type", Consensus, map[string]string{
			"ledger/x/work/types/t.go":  "package types\n\nimport \"cosmossdk.io/math\"\n\ntype Totals struct{ By map[string]math.Int }\n",
			"ledger/x/work/keeper/k.go": "package keeper\n\nimport \"example.org/m/ledger/x/work/types\"\n\nfunc f(t types.Totals) {\n\tfor range t.By {\n\t}\n}\n",
		}, "range over a map"},
		{"tests are not consensus", Consensus, map[string]string{"ledger/x/work/k_test.go": "package work\n\nfunc f() { go f() }\n"}, ""},
		{"nor is generated code", Consensus, map[string]string{"ledger/x/work/k.pb.go": "// Code generated by x. DO NOT EDIT.\n\npackage work\n\nfunc f() { go f() }\n"}, ""},
		{"nor is the rest", Consensus, map[string]string{"scheduler/k.go": "package scheduler\n\nfunc f() { go f() }\n"}, ""},

		{"long file", FileSizes, map[string]string{"a/a.go": "package a\n" + strings.Repeat("\n", MaxLines)}, "at most 600"},
		{"long generated file", FileSizes, map[string]string{"a/a.go": "// Code generated by x. DO NOT EDIT.\n\npackage a\n" + strings.Repeat("\n", MaxLines)}, ""},
		{"vague name", PackageNames, map[string]string{"a/utils/a.go": "package utils\n"}, "package utils"},
		{"init", Inits, map[string]string{"a/a.go": "package a\n\nfunc init() {}\n"}, "func init"},
		{"method named init", Inits, map[string]string{"a/a.go": "package a\n\ntype T int\n\nfunc (T) init() {}\n"}, ""},
		{"no package comment", PackageDocs, map[string]string{"a/a.go": "\npackage a\n"}, "no package comment"},
		{"put off", Unfinished, map[string]string{"a/a.go": "package a\n\n// TODO: later\n"}, "TODO"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := tc.rule(module(t, tc.files))
			if tc.want == "" {
				require.Empty(t, got)
				return
			}
			require.Len(t, got, 1)
			require.Contains(t, got[0].String(), tc.want)
		})
	}
}

func TestLoadSkipsWhatIsNotTheModules(t *testing.T) {
	m := module(t, map[string]string{
		"a/a.go":                   "package a\n",
		"a/testdata/broken.go":     "this is no Go",
		"js/node_modules/x/x.go":   "nor is this",
		".git/x.go":                "nor this",
		"_attic/x.go":              "nor this",
		"a/internal/deep/deep.go":  "package deep\n",
		"a/internal/deep/notes.md": "text",
	})
	require.Equal(t, []string{"a", "a/internal/deep"}, m.Dirs())
}

func TestLoadNamesTheFileThatDoesNotParse(t *testing.T) {
	_, err := Load(fstest.MapFS{
		"go.mod": {Data: []byte("module example.org/m\n")},
		"a/a.go": {Data: []byte("package a\nfunc {\n")},
	})
	require.ErrorContains(t, err, "a/a.go:2")
}
