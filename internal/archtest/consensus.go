package archtest

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
)

// consensus is where the code lies whose result every validator must agree on.
const consensus = "ledger/x"

// alsoConsensus are packages outside of it, without those below them, that it computes with.
var alsoConsensus = append([]string{"exact", "work/page"}, referees...)

// OrderFree marks, on the line of a range over a map or on the line above, that the
// result does not depend on the order. A reason follows it.
const OrderFree = "order-free:"

// forbiddenImports differ from one machine to the next.
var forbiddenImports = map[string]string{
	"math/rand":    "randomness",
	"math/rand/v2": "randomness",
	"crypto/rand":  "randomness",
	"os":           "the machine",
	"os/exec":      "the machine",
	"net":          "the network",
	"net/http":     "the network",
	"unsafe":       "memory layout",
}

// clock are the functions of package time that look at the clock or wait for it.
var clock = map[string]bool{
	"Now": true, "Since": true, "Until": true, "After": true, "AfterFunc": true, "Sleep": true,
	"Tick": true, "NewTicker": true, "NewTimer": true,
}

// Consensus finds what would make two validators disagree: clocks, randomness, floating
// point, goroutines, and maps walked in their random order. It knows the types that the
// module itself declares, so it sees a map that one of our packages returns but not one
// that a library does; go vet cannot see either.
func Consensus(m *Module) []Violation {
	var bad []Violation
	check := newChecker(m)
	for _, dir := range m.Dirs() {
		if !within(dir, consensus) && !slices.Contains(alsoConsensus, dir) {
			continue
		}
		info := check.infoOf(dir)
		for _, f := range m.Packages[dir].Files {
			if !product(f) {
				continue
			}
			for _, imported := range f.imports() {
				if why := forbiddenImports[imported]; why != "" {
					bad = append(bad, Violation{f.Name, fmt.Sprintf("imports %s: consensus code must not depend on %s", imported, why)})
				}
			}
			marked := orderFreeLines(m, f)
			ast.Inspect(f.AST, func(n ast.Node) bool {
				if what := nondeterministic(info, n); what != "" {
					if r, ok := n.(*ast.RangeStmt); ok && marked[m.Fset.Position(r.Pos()).Line] {
						return true
					}
					bad = append(bad, Violation{m.at(n), what})
				}
				return true
			})
		}
	}
	return bad
}

func nondeterministic(info *types.Info, n ast.Node) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "go statement: consensus code runs in one goroutine"
	case *ast.SelectStmt:
		return "select: which case is taken is not determined"
	case *ast.BasicLit:
		if n.Kind == token.FLOAT || n.Kind == token.IMAG {
			return "floating-point number " + n.Value
		}
	case *ast.Ident:
		switch n.Name {
		case "float32", "float64", "complex64", "complex128":
			return n.Name + ": consensus code has no floating point"
		}
	case *ast.CallExpr:
		if sel, ok := n.Fun.(*ast.SelectorExpr); ok && importedAs(info, sel.X) == "slices" && sel.Sel.Name == "Collect" && len(n.Args) == 1 {
			if name := walker(info, n.Args[0]); name != "" {
				return "slices.Collect of " + name + ": slices.Sorted gives an order that all agree on"
			}
		}
	case *ast.SelectorExpr:
		pkg := importedAs(info, n.X)
		if pkg == "time" && clock[n.Sel.Name] {
			return "time." + n.Sel.Name + ": the block's time is the only clock"
		}
	case *ast.RangeStmt:
		if t := info.TypeOf(n.X); t != nil {
			if _, ok := t.Underlying().(*types.Map); ok {
				return "range over a map: sort the keys, or say on the line above why the order does not matter (// " + OrderFree + " …)"
			}
		}
		if name := walker(info, n.X); name != "" {
			return "range over " + name + ": sort it first (slices.Sorted)"
		}
	}
	return ""
}

// walker names the function of package maps that an expression calls and that yields in
// the map's order.
func walker(info *types.Info, e ast.Expr) string {
	call, ok := e.(*ast.CallExpr)
	if !ok {
		return ""
	}
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || importedAs(info, sel.X) != "maps" {
		return ""
	}
	return "maps." + sel.Sel.Name
}

func importedAs(info *types.Info, e ast.Expr) string {
	id, ok := e.(*ast.Ident)
	if !ok {
		return ""
	}
	if name, ok := info.Uses[id].(*types.PkgName); ok {
		return name.Imported().Path()
	}
	return ""
}

// orderFreeLines are the lines that an OrderFree comment speaks for.
func orderFreeLines(m *Module, f *File) map[int]bool {
	lines := map[int]bool{}
	for _, group := range f.AST.Comments {
		for _, c := range group.List {
			if reason, ok := strings.CutPrefix(strings.TrimSpace(strings.TrimPrefix(c.Text, "//")), OrderFree); ok && strings.TrimSpace(reason) != "" {
				line := m.Fset.Position(c.Pos()).Line
				// The comment may go on for some lines before the statement.
				lines[line], lines[m.Fset.Position(group.End()).Line+1] = true, true
			}
		}
	}
	return lines
}

// checker type-checks the module's own packages from their source and takes everything
// else for an empty package: enough to know a map that the module declares, at none of
// the cost of compiling the ledger.
type checker struct {
	m     *Module
	done  map[string]*types.Package
	infos map[string]*types.Info
}

func newChecker(m *Module) *checker {
	return &checker{m: m, done: map[string]*types.Package{}, infos: map[string]*types.Info{}}
}

// Import implements types.Importer.
func (c *checker) Import(importPath string) (*types.Package, error) {
	if p := c.done[importPath]; p != nil {
		return p, nil
	}
	dir, ok := c.m.inModule(importPath)
	if !ok || c.m.Packages[dir] == nil {
		name := importPath[strings.LastIndexByte(importPath, '/')+1:]
		if len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" { // …/v2
			rest := strings.TrimSuffix(importPath, "/"+name)
			name = rest[strings.LastIndexByte(rest, '/')+1:]
		}
		p := types.NewPackage(importPath, strings.NewReplacer("-", "_", ".", "_").Replace(name))
		p.MarkComplete()
		c.done[importPath] = p
		return p, nil
	}
	// An import cycle does not compile, so nobody asks for it while it is not done.
	c.done[importPath] = types.NewPackage(importPath, "")
	var files []*ast.File
	for _, f := range c.m.Packages[dir].Files {
		if !f.Test {
			files = append(files, f.AST)
		}
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: c, Error: func(error) {}, FakeImportC: true}
	p, _ := conf.Check(importPath, c.m.Fset, files, info) // what libraries declare is unknown here
	p.MarkComplete()
	c.done[importPath], c.infos[dir] = p, info
	return p, nil
}

func (c *checker) infoOf(dir string) *types.Info {
	importPath := c.m.Path
	if dir != "." {
		importPath += "/" + dir
	}
	if c.infos[dir] == nil {
		if _, err := c.Import(importPath); err != nil || c.infos[dir] == nil {
			return &types.Info{}
		}
	}
	return c.infos[dir]
}
