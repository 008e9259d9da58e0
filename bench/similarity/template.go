package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
)

// request is one fetch: what is drawn for it, and when it was.
type request struct {
	*rand.Rand
	hour int
}

// variation makes a page vary as real sites do.
type variation struct {
	name string
	vary func(html []byte, all []page, r request) []byte
}

// variations are those of single causes, and at last all of them together.
var variations = func() []variation {
	l := []variation{
		{"date and time", stamp},
		{"counters", counters},
		{"nonces", nonces},
		{"advertisements", ads},
		{"links to other pages", related},
		{"comments in any order", comments},
	}
	single := l
	return append(l, variation{"in all of these ways", func(html []byte, all []page, r request) []byte {
		for _, v := range single {
			html = v.vary(html, all, r)
		}
		return html
	}})
}()

// insert puts a block right after <body …>, or before </body>.
func insert(html []byte, top bool, block string) []byte {
	at := bytes.LastIndex(html, []byte("</body"))
	if top {
		if at = bytes.Index(html, []byte("<body")); at >= 0 {
			if end := bytes.IndexByte(html[at:], '>'); end >= 0 {
				at += end + 1
			}
		}
	}
	if at < 0 {
		at = len(html)
	}
	return append(html[:at:at], append([]byte(block), html[at:]...)...)
}

func stamp(html []byte, _ []page, r request) []byte {
	html = insert(html, true, fmt.Sprintf("<div class=top>Sunday, 22 November 2026, %02d:%02d:%02d UTC</div>", 9+r.hour, r.IntN(60), r.IntN(60)))
	return insert(html, false, fmt.Sprintf("<footer><p>Page generated in %d.%03d seconds by node web-%02d.</p><p>Last visit: %d minutes ago.</p></footer>",
		r.IntN(2), r.IntN(1000), r.IntN(40), r.IntN(500)))
}

func counters(html []byte, _ []page, r request) []byte {
	return insert(html, false, fmt.Sprintf("<aside><ul><li>%d,%03d views</li><li>%d people are reading this</li><li>%d comments</li><li>Rated %d.%d by %d readers</li></ul></aside>",
		100+r.IntN(900), r.IntN(1000), r.IntN(300), r.IntN(100), r.IntN(5), r.IntN(10), r.IntN(5000)))
}

func nonces(html []byte, _ []page, r request) []byte {
	html = insert(html, true, fmt.Sprintf("<script nonce=%016x>var token=%q;</script><form><input type=hidden name=csrf value=%016x></form>", r.Uint64(), fmt.Sprint(r.Uint64()), r.Uint64()))
	return insert(html, false, fmt.Sprintf("<p class=debug>Request ID: %08x-%04x-%04x</p>", r.Uint32(), r.Uint32()&0xffff, r.Uint32()&0xffff))
}

// ads takes one to four of a pool, at the top and at the bottom.
func ads(html []byte, all []page, r request) []byte {
	for range 1 + r.IntN(4) {
		pool := rand.New(rand.NewPCG(uint64(r.IntN(200)), 7)) // 200 advertisements in all
		w := strings.Fields(all[pool.IntN(len(all))].text)
		n := min(len(w), 8+pool.IntN(23))
		at := pool.IntN(len(w) - n + 1)
		html = insert(html, r.IntN(2) == 0, "<div class=ad><b>Advertisement</b> <p>"+escape(strings.Join(w[at:at+n], " "))+"</p></div>")
	}
	return html
}

// related lists five to ten other pages by their beginnings.
func related(html []byte, all []page, r request) []byte {
	var b strings.Builder
	b.WriteString("<nav><h4>You may also like</h4><ul>")
	for range 5 + r.IntN(6) {
		w := strings.Fields(all[r.IntN(len(all))].text)
		b.WriteString("<li><a href=/x>" + escape(strings.Join(w[:min(len(w), 6)], " ")) + "</a></li>")
	}
	b.WriteString("</ul></nav>")
	return insert(html, false, b.String())
}

// comments are the same for every request, in another order.
func comments(html []byte, all []page, r request) []byte {
	fixed := rand.New(rand.NewPCG(uint64(len(html)), 3))
	var list []string
	for range 3 + fixed.IntN(8) {
		w := strings.Fields(all[fixed.IntN(len(all))].text)
		n := min(len(w), 10+fixed.IntN(40))
		list = append(list, "<article><h5>Reader "+fmt.Sprint(fixed.IntN(1000))+"</h5><p>"+escape(strings.Join(w[:n], " "))+"</p></article>")
	}
	r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return insert(html, false, "<section>"+strings.Join(list, "")+"</section>")
}

func escape(s string) string { return strings.NewReplacer("<", "&lt;", "&", "&amp;").Replace(s) }
