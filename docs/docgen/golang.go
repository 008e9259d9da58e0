package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/printer"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// packageComment is the doc comment of the package in dir, empty where there is none.
func packageComment(dir string) (name, text string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", "", err
	}
	for _, e := range entries {
		if e.IsDir() || filepath.Ext(e.Name()) != ".go" || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, e.Name()), nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			return "", "", err
		}
		if name = f.Name.Name; f.Doc != nil {
			return name, f.Doc.Text(), nil
		}
	}
	return name, "", nil
}

// packages lists the module's packages with their doc comments.
func packages(root string) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("# Packages\n\nWhat each Go package is for, in the words of its doc comment.\n\n")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if base := d.Name(); path != root && (base[0] == '.' || base[0] == '_' || base == "testdata" || base == "node_modules") {
			return fs.SkipDir
		}
		_, text, err := packageComment(path)
		if err != nil || text == "" {
			return err
		}
		rel, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "## %s\n\n%s\n", filepath.ToSlash(rel), markdown(text))
		return nil
	})
	return b.Bytes(), err
}

// markdown turns a doc comment into Markdown whose headings lie below a page's sections.
func markdown(text string) string {
	var p comment.Parser
	pr := comment.Printer{HeadingLevel: 3, HeadingID: func(*comment.Heading) string { return "" }}
	return string(pr.Markdown(p.Parse(text)))
}

// glossary is the one in the doc comment of package work.
func glossary(root string) ([]byte, error) {
	_, text, err := packageComment(filepath.Join(root, "work"))
	if err != nil {
		return nil, err
	}
	_, list, ok := strings.Cut(text, "# Glossary\n")
	if !ok {
		return nil, errors.New("the comment of package work has no glossary")
	}
	var b bytes.Buffer
	b.WriteString("# Glossary\n\nOne word for one thing. The same words name the types in the code, the fields on the\nledger and the lines that the commands print.\n\n| word | what it means |\n|---|---|\n")
	for line := range strings.Lines(list) {
		term, meaning, ok := strings.Cut(strings.TrimSpace(line), " ")
		if !ok {
			continue
		}
		fmt.Fprintf(&b, "| **%s** | %s |\n", term, escape(strings.TrimSpace(meaning)))
	}
	return b.Bytes(), nil
}

// errNoFunction is returned by fieldsSetBy for a function that there is none of.
var errNoFunction = errors.New("no such function")

// fieldsSetBy finds, in the Go source of a directory, the expressions that the named
// function gives to fields, in a composite literal or one by one.
func fieldsSetBy(dir, function string) (map[string]string, error) {
	fset := token.NewFileSet()
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".go" || strings.HasSuffix(e.Name(), "_test.go") {
			continue
		}
		f, err := parser.ParseFile(fset, filepath.Join(dir, e.Name()), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == function {
				return setFields(fset, fn.Body)
			}
		}
	}
	return nil, fmt.Errorf("%w: %s in %s", errNoFunction, function, dir)
}

func setFields(fset *token.FileSet, body ast.Node) (map[string]string, error) {
	fields := map[string]string{}
	var failed error
	set := func(name string, value ast.Expr) {
		var b bytes.Buffer
		if err := printer.Fprint(&b, fset, value); err != nil {
			failed = err
		}
		fields[name] = b.String()
	}
	ast.Inspect(body, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.KeyValueExpr:
			if key, ok := n.Key.(*ast.Ident); ok {
				set(key.Name, n.Value)
			}
			return false
		case *ast.AssignStmt:
			for i, left := range n.Lhs {
				if sel, ok := left.(*ast.SelectorExpr); ok && i < len(n.Rhs) {
					set(sel.Sel.Name, n.Rhs[i])
				}
			}
		}
		return true
	})
	return fields, failed
}

// escape keeps a text inside its table cell.
func escape(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;").Replace(strings.Join(strings.Fields(s), " "))
}
