package archtest

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Layers says which rooms of the house each room may import besides itself. What is not
// listed may import everything: cmd ties the parts together, tests and tools use them.
// The most specific entry holds.
var Layers = map[string][]string{
	"artifact":  {},
	"exact":     {},
	"work":      {"artifact"},
	"plane":     {"artifact", "work"},
	"kinds":     {"artifact", "exact", "work"}, // never each other: see Imports
	"kinds/all": {"artifact", "exact", "work", "kinds"},
	"scheduler": {"artifact", "work", "plane"},
	"worker":    {"artifact", "work", "plane"},
	"gateway":   {"artifact", "work", "plane", "scheduler", "docs"},
	"ledger":    {"artifact", "contracts", "exact/canonical", "exact/claim", "exact/merkle", "exact/modelfile", "exact/referee", "exact/speaker", "work"},
	"docs":      {},
}

// linksLedger are the rooms whose tests may import the ledger: a test binary with it
// takes half a minute to link, so the others' must stay without.
var linksLedger = []string{"ledger", "cmd", "internal", "test", "bench", "examples"}

// Imports checks Layers, that a kind imports no other kind, and that what is made for
// tests stays out of the product.
func Imports(m *Module) []Violation {
	var bad []Violation
	m.files(func(f *File) bool { return !f.Generated }, func(p *Package, f *File) {
		for _, imported := range f.imports() {
			dir, ok := m.inModule(imported)
			if !ok {
				continue
			}
			if f.Test || testSupport(p.Dir) {
				if within(dir, "ledger") && !slices.ContainsFunc(linksLedger, func(room string) bool { return within(p.Dir, room) }) {
					bad = append(bad, Violation{f.Name, fmt.Sprintf("imports %s: only tests of %s may link the ledger", dir, strings.Join(linksLedger, ", "))})
				}
				continue
			}
			if testSupport(dir) {
				bad = append(bad, Violation{f.Name, fmt.Sprintf("imports %s, which is for tests", dir)})
				continue
			}
			if why := forbidden(p.Dir, dir); why != "" {
				bad = append(bad, Violation{f.Name, fmt.Sprintf("imports %s: %s", dir, why)})
			}
		}
	})
	return bad
}

// testSupport reports whether a directory holds what only tests use, as worktest does: it
// may import what tests may.
func testSupport(dir string) bool {
	return strings.HasSuffix(dir, "test") && dir != "test" || within(dir, "internal/testnet") || within(dir, "internal/fault")
}

func forbidden(from, to string) string {
	room := from
	for {
		if _, ok := Layers[room]; ok {
			break
		}
		if room = path.Dir(room); room == "." {
			return ""
		}
	}
	if room == "kinds" {
		// Each kind is a room of its own.
		kind := strings.Join(strings.SplitN(from, "/", 3)[:min(2, strings.Count(from, "/")+1)], "/")
		if within(to, kind) {
			return ""
		}
	} else if within(to, room) {
		return ""
	}
	for _, allowed := range Layers[room] {
		if within(to, allowed) && (room != "kinds" || !within(to, "kinds")) {
			return ""
		}
	}
	// Small shared things live under internal.
	if within(to, "internal") {
		return ""
	}
	return fmt.Sprintf("%s may import only itself, internal and [%s]", room, strings.Join(Layers[room], " "))
}

// ledgerModules open the import paths of everything that a ledger node is made of.
var ledgerModules = []string{
	"cosmossdk.io/", "github.com/cosmos/", "github.com/cometbft/", "github.com/ethereum/",
}

// WorkerStaysSmall checks that what a home machine runs links nothing of the ledger: no
// package of ours under ledger/, and nothing that a ledger node is made of.
func WorkerStaysSmall(m *Module) []Violation { return free(m, "cmd/cantus-worker", "ledger") }

// referees are what decides about answers of models, and engines what computes such answers:
// fast, on many threads, and with assembly.
var (
	referees = []string{"exact/canonical", "exact/claim", "exact/merkle", "exact/modelfile", "exact/referee", "exact/speaker"}
	engines  = []string{"exact/model", "exact/kernel"}
)

// RefereesStaySmall checks that what every validator runs to decide about an answer links
// no engine.
func RefereesStaySmall(m *Module) []Violation {
	var bad []Violation
	for _, start := range referees {
		for _, room := range engines {
			bad = append(bad, free(m, start, room)...)
		}
	}
	return bad
}

// free checks that nothing reachable from a directory lies in a room, or imports a module
// of the ledger's.
func free(m *Module, start, room string) []Violation {
	var bad []Violation
	from := map[string]string{start: ""} // how each package was reached
	for queue := []string{start}; len(queue) > 0; queue = queue[1:] {
		p := m.Packages[queue[0]]
		if p == nil {
			continue
		}
		for _, f := range p.Files {
			if f.Test {
				continue
			}
			for _, imported := range f.imports() {
				if dir, ok := m.inModule(imported); ok {
					if _, seen := from[dir]; seen {
						continue
					}
					from[dir] = p.Dir
					if within(dir, room) {
						bad = append(bad, Violation{f.Name, fmt.Sprintf("imports %s, so %s links it (%s)", dir, start, chain(from, dir))})
						continue
					}
					queue = append(queue, dir)
				} else if slices.ContainsFunc(ledgerModules, func(prefix string) bool { return strings.HasPrefix(imported, prefix) }) {
					bad = append(bad, Violation{f.Name, fmt.Sprintf("imports %s, so %s links it (%s)", imported, start, chain(from, p.Dir))})
				}
			}
		}
	}
	return bad
}

func chain(from map[string]string, dir string) string {
	s := dir
	for from[dir] != "" {
		dir = from[dir]
		s = dir + " → " + s
	}
	return s
}
