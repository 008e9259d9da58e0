package archtest

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"sort"
	"strconv"
	"strings"
)

// Module is the parsed source of a Go module.
type Module struct {
	Path     string // as in go.mod
	Fset     *token.FileSet
	Packages map[string]*Package // by directory, slash-separated, "." for the root
}

// Package is the Go files of one directory.
type Package struct {
	Dir   string
	Files []*File
}

// File is one parsed Go file.
type File struct {
	Name      string // relative to the module's root
	AST       *ast.File
	Lines     int
	Test      bool // _test.go
	Generated bool
}

// Violation says where a rule is broken and what would be right.
type Violation struct {
	Where string // file, or file:line
	What  string
}

func (v Violation) String() string { return v.Where + ": " + v.What }

// Load parses every Go file of the module in root. Test data, hidden directories and
// node_modules are none of the module's.
func Load(root fs.FS) (*Module, error) {
	gomod, err := fs.ReadFile(root, "go.mod")
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	m := &Module{Fset: token.NewFileSet(), Packages: map[string]*Package{}}
	for line := range strings.Lines(string(gomod)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "module "); ok {
			m.Path = strings.TrimSpace(name)
		}
	}
	if m.Path == "" {
		return nil, fmt.Errorf("go.mod names no module")
	}
	err = fs.WalkDir(root, ".", func(name string, d fs.DirEntry, err error) error {
		switch base := path.Base(name); {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (base[0] == '.' || base[0] == '_' || base == "testdata" || base == "node_modules"):
			return fs.SkipDir
		case d.IsDir() || path.Ext(base) != ".go":
			return nil
		}
		return m.add(root, name)
	})
	if err != nil {
		return nil, fmt.Errorf("read the module: %w", err)
	}
	return m, nil
}

func (m *Module) add(root fs.FS, name string) error {
	src, err := fs.ReadFile(root, name)
	if err != nil {
		return err
	}
	tree, err := parser.ParseFile(m.Fset, name, src, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	dir := path.Dir(name)
	if m.Packages[dir] == nil {
		m.Packages[dir] = &Package{Dir: dir}
	}
	m.Packages[dir].Files = append(m.Packages[dir].Files, &File{
		Name:      name,
		AST:       tree,
		Lines:     bytes.Count(src, []byte("\n")),
		Test:      strings.HasSuffix(name, "_test.go"),
		Generated: ast.IsGenerated(tree),
	})
	return nil
}

// Dirs are the packages' directories, sorted.
func (m *Module) Dirs() []string {
	dirs := make([]string, 0, len(m.Packages))
	for dir := range m.Packages {
		dirs = append(dirs, dir)
	}
	sort.Strings(dirs)
	return dirs
}

// files calls f for each file for which keep says so, in order.
func (m *Module) files(keep func(*File) bool, f func(*Package, *File)) {
	for _, dir := range m.Dirs() {
		for _, file := range m.Packages[dir].Files {
			if keep(file) {
				f(m.Packages[dir], file)
			}
		}
	}
}

// product are the files that people write and that end up in a program.
func product(f *File) bool { return !f.Test && !f.Generated }

func (m *Module) at(n ast.Node) string {
	p := m.Fset.Position(n.Pos())
	return fmt.Sprintf("%s:%d", p.Filename, p.Line)
}

// imports are a file's import paths.
func (f *File) imports() []string {
	var paths []string
	for _, spec := range f.AST.Imports {
		if p, err := strconv.Unquote(spec.Path.Value); err == nil {
			paths = append(paths, p)
		}
	}
	return paths
}

// inModule turns an import path into a directory of the module.
func (m *Module) inModule(importPath string) (dir string, ok bool) {
	if importPath == m.Path {
		return ".", true
	}
	return strings.CutPrefix(importPath, m.Path+"/")
}

// within reports whether dir is room or lies below it.
func within(dir, room string) bool { return dir == room || strings.HasPrefix(dir, room+"/") }
