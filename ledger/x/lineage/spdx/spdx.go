// Package spdx checks licence expressions, by annex "SPDX license expressions" of the SPDX
// specification, version 2.3:
//
//	Check("MIT OR (Apache-2.0 AND CC-BY-4.0)")
//	Check("GPL-2.0-or-later WITH Classpath-exception-2.0")
//	Check("LicenseRef-House-Rules")
//	Check("NOASSERTION")
//
// The identifiers are those of the SPDX License List as its data stood on 2026-01-30
// (github.com/spdx/license-list-data at 297da51): licenses.txt and
// exceptions.txt, without the deprecated ones. They are part of the ledger's rules: a
// newer list is an upgrade of the network.
package spdx

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
)

// ListVersion says which list the identifiers are from.
const ListVersion = "297da51 of 2026-01-30"

const (
	maxLength = 256
	maxDepth  = 8 // of parentheses
)

// ErrExpression marks text that is no licence expression.
var ErrExpression = errors.New("not an SPDX licence expression")

//go:embed licenses.txt
var licenseList string

//go:embed exceptions.txt
var exceptionList string

var (
	licenses   = set(licenseList)
	exceptions = set(exceptionList)
)

func set(list string) map[string]bool {
	m := map[string]bool{}
	for id := range strings.FieldsSeq(list) {
		m[id] = true
	}
	return m
}

// Check refuses what is no licence expression: unknown or deprecated identifiers, other
// spellings of known ones, operators not in upper case. It also takes NOASSERTION (nothing
// is said) and NONE (no licence is given) by themselves.
func Check(expression string) error {
	if expression == "NOASSERTION" || expression == "NONE" {
		return nil
	}
	p := parser{text: expression}
	if err := p.check(); err != nil {
		return fmt.Errorf("%w: %.80q: %w", ErrExpression, expression, err)
	}
	return nil
}

// parser reads an expression by recursive descent, one token ahead:
//
//	or     = and { "OR" and }
//	and    = term { "AND" term }
//	term   = "(" or ")" | simple [ "WITH" exception ]
//	simple = licence [ "+" ] | reference
type parser struct {
	text  string // what is left
	token string // the next token; "" at the end
	depth int
}

func (p *parser) check() error {
	switch {
	case p.text == "":
		return errors.New("it is empty; say NOASSERTION where nothing is known")
	case len(p.text) > maxLength:
		return fmt.Errorf("%d characters, at most %d", len(p.text), maxLength)
	case strings.TrimSpace(p.text) != p.text || strings.Contains(p.text, "  "):
		return errors.New("more space than needed")
	}
	for i := range len(p.text) {
		if c := p.text[i]; c != ' ' && c != '(' && c != ')' && c != '+' && c != ':' && !idByte(c) {
			return fmt.Errorf("the character %q", c)
		}
	}
	p.next()
	if err := p.or(); err != nil {
		return err
	}
	if p.token != "" {
		return fmt.Errorf("AND, OR or the end was expected, not %.40q", p.token)
	}
	return nil
}

func idByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '.'
}

// next moves on by one token: a parenthesis, or a run up to a space or parenthesis.
func (p *parser) next() {
	p.text = strings.TrimPrefix(p.text, " ")
	n := strings.IndexAny(p.text, " ()")
	switch {
	case n < 0:
		n = len(p.text)
	case n == 0:
		n = 1
	}
	p.token, p.text = p.text[:n], p.text[n:]
}

func (p *parser) or() error {
	for {
		if err := p.and(); err != nil {
			return err
		}
		if p.token != "OR" {
			return nil
		}
		p.next()
	}
}

func (p *parser) and() error {
	for {
		if err := p.term(); err != nil {
			return err
		}
		if p.token != "AND" {
			return nil
		}
		p.next()
	}
}

func (p *parser) term() error {
	if p.token == "(" {
		if p.depth++; p.depth > maxDepth {
			return fmt.Errorf("parentheses more than %d deep", maxDepth)
		}
		p.next()
		if err := p.or(); err != nil {
			return err
		}
		if p.token != ")" {
			return errors.New("a parenthesis is not closed")
		}
		p.depth--
		p.next()
		return nil
	}
	if err := checkSimple(p.token); err != nil {
		return err
	}
	p.next()
	if p.token != "WITH" {
		return nil
	}
	p.next()
	if !exceptions[p.token] {
		return fmt.Errorf("%.40q is no exception on the SPDX list", p.token)
	}
	p.next()
	return nil
}

func checkSimple(token string) error {
	if id := strings.TrimSuffix(token, "+"); licenses[id] {
		return nil
	}
	if isReference(token) {
		return nil
	}
	switch token {
	case "":
		return errors.New("a licence is missing at the end")
	case ")", "AND", "OR", "WITH":
		return fmt.Errorf("a licence is missing before %s", token)
	case "NONE", "NOASSERTION":
		return fmt.Errorf("%s stands alone", token)
	}
	return fmt.Errorf("%.40q is no licence on the SPDX list (%s); name your own LicenseRef-…", token, ListVersion)
}

// isReference reports whether token names a licence that is not on the list:
// [DocumentRef-…:]LicenseRef-….
func isReference(token string) bool {
	if document, license, ok := strings.Cut(token, ":"); ok {
		return isRef(document, "DocumentRef-") && isRef(license, "LicenseRef-")
	}
	return isRef(token, "LicenseRef-")
}

func isRef(s, prefix string) bool {
	id, ok := strings.CutPrefix(s, prefix)
	return ok && id != "" && !strings.ContainsAny(id, "+:")
}
