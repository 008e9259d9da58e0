// Package docs is the project's documentation: the Markdown files beside it, and the web
// site that is made of them. A gateway serves it under /docs/, and `make demo` crawls it.
//
//	docs.go   Handler: the site over HTTP
//	site.go   Site: the pages, rendered once
//	nav.go    the order of the pages
//	page.html, style.css  what a page looks like
//	docgen/   writes the pages under reference/ from the source
//
// Pages link to each other by their Markdown file names, so that the links work in a
// code browser too; the site has .html in their place. No page needs anything from
// elsewhere: no scripts, no fonts, no pictures of others.
package docs
