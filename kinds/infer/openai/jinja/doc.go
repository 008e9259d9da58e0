// Package jinja renders chat templates: the part of the Jinja language that the templates
// of language models are written in, as Python's jinja2 renders it with trim_blocks and
// lstrip_blocks.
//
// It differs from a general engine in two ways. A template comes with a model, from
// anybody, so rendering has a budget: of steps, of bytes that are written or built, and of
// nesting. Nothing in it can reach files, Go methods or the clock; what a template may call
// is given to it. And every byte of a text remembers whether the template wrote it or it
// came from outside with a value, through all that the template does with it: so that what
// a user wrote is never mistaken for a control token that the template writes.
//
//	text.go      Text: a string that remembers which of its bytes came from outside
//	lex.go       templates into tokens, with the rules for spaces around tags
//	parse.go     tokens into statements
//	express.go   tokens into expressions
//	value.go     values: truth, equality, order, how they are written
//	render.go    Template: statements rendered
//	evaluate.go  expressions evaluated
//	method.go    methods of strings and mappings
//	filter.go    filters
//	check.go     tests, what follows "is"
//	json.go      the filter tojson
package jinja
