package docs

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net/url"
	"path"
	"strings"

	"github.com/yuin/goldmark"
	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/extension"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
)

//go:embed *.md adr/*.md reference/*.md architecture.svg page.html style.css
var files embed.FS

// Page is one page of the site.
type Page struct {
	File        string // "adr/README.md"
	Path        string // "adr/index.html", relative to the site's root
	Title       string // its first heading
	Description string // its first paragraph, as plain text
	HTML        []byte // the whole document
}

// Site is the rendered documentation.
type Site struct {
	Pages  []*Page // in the order of the menu
	byPath map[string]*Page
}

// Build renders every page. It fails for a page without a heading and for a link to a
// page that there is none of, which the tests of this package rule out.
func Build() (*Site, error) {
	s := &Site{byPath: map[string]*Page{}}
	md := goldmark.New(
		goldmark.WithExtensions(extension.GFM),
		goldmark.WithParserOptions(parser.WithAutoHeadingID()),
	)
	sources, trees := map[*Page][]byte{}, map[*Page]ast.Node{}
	for _, section := range nav {
		for _, file := range section.Files {
			src, err := files.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("documentation: %w", err)
			}
			p := &Page{File: file, Path: sitePath(file)}
			tree := md.Parser().Parse(text.NewReader(src))
			p.Title, p.Description = headOf(tree, src)
			if p.Title == "" {
				return nil, fmt.Errorf("documentation: %s has no heading", file)
			}
			s.Pages = append(s.Pages, p)
			s.byPath[p.Path] = p
			sources[p], trees[p] = src, tree
		}
	}
	layout, err := template.ParseFS(files, "page.html")
	if err != nil {
		return nil, fmt.Errorf("documentation: %w", err)
	}
	for i, p := range s.Pages {
		if err := s.resolveLinks(p, trees[p]); err != nil {
			return nil, err
		}
		var body, page bytes.Buffer
		if err := md.Renderer().Render(&body, sources[p], trees[p]); err != nil {
			return nil, fmt.Errorf("documentation: render %s: %w", p.File, err)
		}
		// The renderer leaves out raw HTML, so what it writes is safe to include.
		data := layoutData{Page: p, Root: rootFrom(p.Path), Body: template.HTML(body.Bytes())}
		for _, section := range nav {
			menu := menuSection{Title: section.Title}
			for _, file := range section.Files {
				q := s.byPath[sitePath(file)]
				menu.Links = append(menu.Links, menuLink{q.Title, data.Root + q.Path, q == p})
			}
			data.Menu = append(data.Menu, menu)
		}
		if i > 0 {
			data.Previous = &menuLink{s.Pages[i-1].Title, data.Root + s.Pages[i-1].Path, false}
		}
		if i+1 < len(s.Pages) {
			data.Next = &menuLink{s.Pages[i+1].Title, data.Root + s.Pages[i+1].Path, false}
		}
		if err := layout.Execute(&page, data); err != nil {
			return nil, fmt.Errorf("documentation: lay out %s: %w", p.File, err)
		}
		p.HTML = page.Bytes()
	}
	return s, nil
}

type layoutData struct {
	Page           *Page
	Root           string // from the page to the site's root: "" or "../"
	Menu           []menuSection
	Previous, Next *menuLink
	Body           template.HTML
}

type menuSection struct {
	Title string
	Links []menuLink
}

type menuLink struct {
	Title, Href string
	Here        bool
}

// sitePath is where a Markdown file is on the site.
func sitePath(file string) string {
	dir, base := path.Split(file)
	if base == "README.md" {
		return dir + "index.html"
	}
	return dir + strings.TrimSuffix(base, ".md") + ".html"
}

func rootFrom(page string) string { return strings.Repeat("../", strings.Count(page, "/")) }

// resolveLinks turns links between Markdown files into links between pages.
func (s *Site) resolveLinks(p *Page, tree ast.Node) error {
	var broken []error
	_ = ast.Walk(tree, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if !entering {
			return ast.WalkContinue, nil
		}
		var dest *[]byte
		switch n := n.(type) {
		case *ast.Link:
			dest = &n.Destination
		case *ast.Image:
			dest = &n.Destination
		default:
			return ast.WalkContinue, nil
		}
		to, err := s.resolve(p, string(*dest))
		if err != nil {
			broken = append(broken, fmt.Errorf("documentation: %s: %w", p.File, err))
		}
		*dest = []byte(to)
		return ast.WalkContinue, nil
	})
	return errors.Join(broken...)
}

func (s *Site) resolve(p *Page, dest string) (string, error) {
	u, err := url.Parse(dest)
	if err != nil || u.IsAbs() || u.Host != "" || u.Path == "" {
		return dest, err
	}
	target := path.Join(path.Dir(p.File), u.Path)
	if path.Ext(target) != ".md" {
		if _, err := files.ReadFile(target); err != nil {
			return dest, fmt.Errorf("link to %s, which is not part of the documentation", dest)
		}
		return dest, nil
	}
	if s.byPath[sitePath(target)] == nil {
		return dest, fmt.Errorf("link to %s, and there is no such page", dest)
	}
	u.Path = sitePath(u.Path)
	return u.String(), nil
}

// headOf finds the first heading and the first paragraph.
func headOf(tree ast.Node, src []byte) (title, description string) {
	for n := tree.FirstChild(); n != nil; n = n.NextSibling() {
		switch n.Kind() {
		case ast.KindHeading:
			if title == "" {
				title = plain(n, src)
			}
		case ast.KindParagraph:
			if text := plain(n, src); text != "" {
				return title, text
			}
		}
	}
	return title, ""
}

// plain is the text of a node without its markup.
func plain(n ast.Node, src []byte) string {
	var b strings.Builder
	_ = ast.Walk(n, func(n ast.Node, entering bool) (ast.WalkStatus, error) {
		if t, ok := n.(*ast.Text); ok && entering {
			b.Write(t.Segment.Value(src))
			if t.SoftLineBreak() || t.HardLineBreak() {
				b.WriteByte(' ')
			}
		}
		return ast.WalkContinue, nil
	})
	return strings.TrimSpace(b.String())
}
