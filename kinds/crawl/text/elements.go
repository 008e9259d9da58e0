package text

// What an element does to the text. Every other element does nothing: its content goes
// into the line that it stands in.
const (
	isBlock  = 1 << iota // stands on lines of its own
	isBreak              // ends a line
	isCell               // a tab before it, unless it begins a line
	isPre                // keeps its white space
	isRaw                // the tokenizer gives its content as one text
	isHidden             // its content is not shown
	hasRefs              // has attributes that matter
)

var elements = map[string]uint8{
	"address": isBlock, "article": isBlock, "aside": isBlock, "blockquote": isBlock,
	"body": isBlock | hasRefs, "caption": isBlock, "center": isBlock, "dd": isBlock,
	"details": isBlock, "dialog": isBlock, "dir": isBlock, "div": isBlock, "dl": isBlock,
	"dt": isBlock, "fieldset": isBlock, "figcaption": isBlock, "figure": isBlock,
	"footer": isBlock, "form": isBlock, "h1": isBlock, "h2": isBlock, "h3": isBlock,
	"h4": isBlock, "h5": isBlock, "h6": isBlock, "head": isBlock, "header": isBlock,
	"hgroup": isBlock, "hr": isBlock, "html": isBlock | hasRefs, "legend": isBlock,
	"li": isBlock, "main": isBlock, "menu": isBlock, "nav": isBlock, "ol": isBlock,
	"optgroup": isBlock, "option": isBlock, "p": isBlock, "search": isBlock,
	"section": isBlock, "select": isBlock, "summary": isBlock, "table": isBlock,
	"tbody": isBlock, "tfoot": isBlock, "thead": isBlock, "tr": isBlock, "ul": isBlock,
	"pre": isBlock | isPre, "listing": isBlock | isPre,
	"xmp": isBlock | isPre | isRaw, "plaintext": isBlock | isPre | isRaw,
	"br": isBreak, "td": isCell, "th": isCell,
	"title": isRaw, "script": isRaw, "style": isRaw, "textarea": isRaw, "noscript": isRaw,
	"noembed": isRaw, "noframes": isRaw, "iframe": isRaw | hasRefs,
	"template": isHidden, "svg": isHidden, "canvas": isHidden, "audio": isHidden,
	"video": isHidden, "object": isHidden, "datalist": isHidden,
	"a": hasRefs, "area": hasRefs, "base": hasRefs, "frame": hasRefs, "link": hasRefs,
	"meta": hasRefs,
}

type runeClass uint8

const (
	runeVisible runeClass = iota
	runeSpace
	runeNothing
)

// classOf says what a character above ASCII is to the text. The list is written out
// because the tables of package unicode change from release to release.
func classOf(r rune) runeClass {
	switch {
	case r == 0xa0, r == 0x1680, r >= 0x2000 && r <= 0x200a, r == 0x2028, r == 0x2029,
		r == 0x202f, r == 0x205f, r == 0x3000:
		return runeSpace
	case r < 0xa0, r == 0xad, r == 0x200b, r == 0x2060, r == 0xfeff:
		return runeNothing // C1 controls, and characters without width or meaning
	}
	return runeVisible
}
