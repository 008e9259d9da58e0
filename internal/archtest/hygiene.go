package archtest

import (
	"fmt"
	"go/ast"
	"regexp"
	"slices"
)

// MaxLines is how long a file may be that people write.
const MaxLines = 600

// FileSizes finds files that should be two.
func FileSizes(m *Module) []Violation {
	var bad []Violation
	m.files(product, func(_ *Package, f *File) {
		if f.Lines > MaxLines {
			bad = append(bad, Violation{f.Name, fmt.Sprintf("%d lines, at most %d: a newcomer would rather find two files", f.Lines, MaxLines)})
		}
	})
	return bad
}

// vagueNames say nothing about what is in a package.
var vagueNames = []string{"base", "common", "core", "helper", "helpers", "lib", "misc", "shared", "tools", "util", "utils"}

// PackageNames finds packages that are named after nothing.
func PackageNames(m *Module) []Violation {
	var bad []Violation
	m.files(product, func(_ *Package, f *File) {
		if name := f.AST.Name.Name; slices.Contains(vagueNames, name) {
			bad = append(bad, Violation{f.Name, fmt.Sprintf("package %s: name it after what it provides", name)})
		}
	})
	return bad
}

// Inits finds init functions: what a package does, it does when it is called.
func Inits(m *Module) []Violation {
	var bad []Violation
	m.files(product, func(_ *Package, f *File) {
		for _, d := range f.AST.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				bad = append(bad, Violation{m.at(fn), "func init: register and set up where it is called for"})
			}
		}
	})
	return bad
}

// PackageDocs finds packages without a doc comment, which is the map of a package.
func PackageDocs(m *Module) []Violation {
	var bad []Violation
	for _, dir := range m.Dirs() {
		documented, written := false, false
		for _, f := range m.Packages[dir].Files {
			if product(f) {
				written = true
				documented = documented || f.AST.Doc != nil
			}
		}
		if written && !documented {
			bad = append(bad, Violation{dir, "no package comment: say what the package is for"})
		}
	}
	return bad
}

var unfinished = regexp.MustCompile(`\b(TODO|FIXME|XXX)\b`)

// Unfinished finds comments that put work off.
func Unfinished(m *Module) []Violation {
	var bad []Violation
	m.files(product, func(_ *Package, f *File) {
		for _, group := range f.AST.Comments {
			for _, c := range group.List {
				if word := unfinished.FindString(c.Text); word != "" {
					bad = append(bad, Violation{m.at(c), word + ": finish it, or file an issue"})
				}
			}
		}
	})
	return bad
}
