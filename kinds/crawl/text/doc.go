// Package text reads pages: the text, title, language, links and robots directives of an
// HTML document or of plain text, and how alike two texts are.
//
// # Map
//
//	extract.go     Extract: a page's bytes to a Page in a single pass
//	elements.go    what each element does to the text
//	charset.go     from bytes to UTF-8
//	links.go       references made absolute, without a URL parser
//	language.go    which language a text is in, where the page does not say
//	simhash.go     64 bits that change little when the text changes little
//	similarity.go  Similarity, Agree: is this the same page, fetched again?
//
// # The text form
//
// Audits compare digests of extracted text, so the same bytes must give the same text on
// every machine and in every release. What Extract returns is therefore a versioned
// form: Version changes whenever any input gives another output, and golden files in
// testdata hold it. Nothing in it depends on the clock, on map order or on floating point.
//
// The text keeps everything that a reader would see, navigation included: what is
// boilerplate is for the dataset's user to decide. Scripts, styles and what else is never
// shown is left out. Runs of white space become one space, blocks become lines, and
// preformatted text keeps its own lines.
package text

// Version names the text form.
const Version = "cantus/text/1"
