package text

import (
	"math/bits"
	"strings"
)

// canonicalTag returns the language, script and region of a BCP 47 tag in their usual
// spelling, or "" if it is none. What follows them is dropped.
func canonicalTag(s string) string {
	parts := strings.Split(strings.ReplaceAll(strings.TrimSpace(s), "_", "-"), "-")
	lang := strings.ToLower(parts[0])
	if len(s) > 64 || len(lang) < 2 || len(lang) > 3 || !letters(lang) || lang == "und" || lang == "mul" || lang == "zxx" {
		return ""
	}
	out, rest := lang, parts[1:]
	for _, p := range rest {
		if len(p) == 0 || len(p) > 8 {
			return ""
		}
	}
	if len(rest) > 0 && len(rest[0]) == 4 && letters(rest[0]) {
		out += "-" + strings.ToUpper(rest[0][:1]) + strings.ToLower(rest[0][1:])
		rest = rest[1:]
	}
	if len(rest) > 0 && (len(rest[0]) == 2 && letters(rest[0]) || len(rest[0]) == 3 && digits(rest[0])) {
		out += "-" + strings.ToUpper(rest[0])
	}
	return out
}

func letters(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return true
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// detectBytes is how much of a text is looked at to name its language.
const detectBytes = 16 << 10

// DetectLanguage names the language of a text by its script and, where several
// languages share one, by their commonest small words. It returns "" when it can't tell.
// It is for pages that do not say: a guess with integer arithmetic, the same everywhere.
func DetectLanguage(s string) string {
	if len(s) > detectBytes {
		s = s[:detectBytes]
	}
	var count [scripts]int
	total := 0
	for _, r := range s {
		if sc := scriptOf(r); sc != none {
			count[sc]++
			total++
		}
	}
	if total < 20 {
		return ""
	}
	best := none
	for sc := none + 1; sc < scripts; sc++ {
		if count[sc] > count[best] {
			best = sc
		}
	}
	// Japanese is mostly Han with kana between, and pages of every language hold Latin
	// names and code.
	if east := count[kana] + count[han] + count[hangul]; east*4 > total {
		switch {
		case count[hangul] > count[kana] && count[hangul]*2 > count[han]:
			return "ko"
		case count[kana]*10 > east:
			return "ja"
		}
		return "zh"
	}
	if best == latin {
		for sc := cyrillic; sc < scripts; sc++ {
			if count[sc]*3 > total {
				best = sc
			}
		}
	}
	switch best {
	case latin, cyrillic:
		return byWords(s)
	case arabic:
		switch {
		case strings.ContainsAny(s, "ٹڈڑے"):
			return "ur"
		case strings.ContainsAny(s, "پچژگ"):
			return "fa"
		}
		return "ar"
	}
	return scriptLanguage[best]
}

type script int

const (
	none script = iota
	latin
	cyrillic
	greek
	arabic
	hebrew
	thai
	hangul
	kana
	han
	devanagari
	bengali
	tamil
	telugu
	georgian
	armenian
	scripts
)

var scriptLanguage = [scripts]string{greek: "el", hebrew: "he", thai: "th", devanagari: "hi",
	bengali: "bn", tamil: "ta", telugu: "te", georgian: "ka", armenian: "hy"}

func scriptOf(r rune) script {
	switch {
	case r < 'A':
		return none
	case r < 0x80:
		if c := r | 0x20; c >= 'a' && c <= 'z' {
			return latin
		}
		return none
	case r < 0xc0:
		return none
	case r < 0x250, r >= 0x1e00 && r < 0x1f00:
		return latin
	case r >= 0x370 && r < 0x400, r >= 0x1f00 && r < 0x2000:
		return greek
	case r >= 0x400 && r < 0x530:
		return cyrillic
	case r >= 0x530 && r < 0x590:
		return armenian
	case r >= 0x590 && r < 0x600:
		return hebrew
	case r >= 0x600 && r < 0x700:
		return arabic
	case r >= 0x900 && r < 0x980:
		return devanagari
	case r >= 0x980 && r < 0xa00:
		return bengali
	case r >= 0xb80 && r < 0xc00:
		return tamil
	case r >= 0xc00 && r < 0xc80:
		return telugu
	case r >= 0xe00 && r < 0xe80:
		return thai
	case r >= 0x10a0 && r < 0x1100:
		return georgian
	case r >= 0x3040 && r < 0x3100:
		return kana
	case r >= 0x3400 && r < 0xa000:
		return han
	case r >= 0xac00 && r < 0xd7b0:
		return hangul
	}
	return none
}

// languages and smallWords belong together: bit i of a word's mask is language i.
var languages = [...]string{
	"en", "de", "fr", "es", "it", "pt", "nl", "sv", "da", "nb", "fi", "pl", "cs", "sk", "sl",
	"hr", "ro", "hu", "tr", "vi", "id", "ca", "et", "lv", "lt", "ru", "uk", "bg", "sr", "el",
}

var smallWords = func() map[string]uint32 {
	lists := [len(languages)]string{
		"the of and to in is that for it with as on be this are by an or from which can not if when you will",
		"der die und den das von zu mit sich des auf für ist im dem nicht ein eine als auch es an werden aus oder wird",
		"de la le et les des en un du une que est pour qui dans par plus pas au sur ne ce avec sont cette ou vous",
		"de la que el en y a los se del las un por con no una su para es al lo como más o pero este puede",
		"di e il la che in un a per del è non una sono le con si da come dei nel alla più anche della questo gli",
		"de a o que e do da em um para com não uma os no se na por mais as dos como ou ao das pode são você",
		"de het een van en in is dat op te zijn met voor niet aan er om ook als door bij naar worden deze kan u",
		"och att det i en som är av för på med den till inte har om ett kan de eller från du när vid",
		"og at det i en er som af for på med den til ikke har om et kan de eller fra du når ved hvis blive",
		"og å det i en er som av for på med den til ikke har om et kan de eller fra du når ved hvis bli",
		"ja on ei että se joka kun mutta tai ovat myös niin voi hän kuin oli sen jos tämä ole voidaan",
		"w i na z do się nie jest że o jak to po za od przez dla są lub które może tego jego tym przy",
		"a v na se je že s z do o k i jako pro za by ale od po jsou které nebo při být lze pokud tak",
		"a v na sa je že s z do o k ako pre za by ale od po sú ktoré alebo pri byť ak tak aj som",
		"in je v na se za da so z ne ki pa s tudi kot po ali od do bi lahko pri če ni to",
		"i u je na se za da su od s ne koji ili kao to ako iz biti može što bi do sa nije",
		"de și în la a cu pe care din nu un o mai este pentru sau sunt prin ca fi se al ce dacă",
		"a az és hogy nem is egy ez de van meg ha csak vagy mint el azt már még lehet kell ezt",
		"ve bir bu için ile da de olarak daha çok olan gibi veya ne kadar ya her değil var ise bunu",
		"và của là các có được trong cho một không với này để những khi người đã từ như về tại đến",
		"yang dan di dengan untuk pada dari ini dalam itu tidak adalah akan atau ke oleh juga dapat anda jika",
		"de la i el que en a les per un és del una els amb no es al més com o són aquest pot si",
		"ja on ei et see mis kui ka või oma aga selle siis nii võib ning kes seda olid peab",
		"un ir ar no uz par kas ka lai tas pēc arī vai bet kā ja nav var šo tiek",
		"ir į kad iš su yra tai kaip o ar bet už nuo apie jo po taip arba jei gali būti",
		"и в не на что с по как это для из к от или но при если может также только его все быть",
		"і в не на що з до та як це для від або але при якщо може також тільки його всі бути є",
		"и в не на че с за от да се по как това са или но при ако може също само към е",
		"и у не на да је се за од са су као што или али при ако може само који то бити",
		"και το να του η της με για που την από στο είναι στην τα ο των ή αν",
	}
	m := make(map[string]uint32)
	for i, l := range lists {
		for _, w := range strings.Fields(l) {
			m[w] |= 1 << i
		}
	}
	return m
}()

// byWords scores each language by the small words of it that the text holds. A word
// that several languages share counts less for each.
func byWords(s string) string {
	var score [len(languages)]int
	n := 0
	var lower [16]byte
	for len(s) > 0 {
		start := 0
		for start < len(s) && s[start] < 0x80 && !asciiLetter(s[start]) {
			start++
		}
		end := start
		for end < len(s) && (s[end] >= 0x80 || asciiLetter(s[end])) {
			end++
		}
		word := s[start:end]
		s = s[end:]
		if word == "" {
			break
		}
		n++
		if len(word) > len(lower) {
			continue
		}
		w := lower[:0]
		for i := range len(word) {
			c := word[i]
			if c < 0x80 {
				c |= 0x20
			}
			w = append(w, c)
		}
		if mask := smallWords[string(w)]; mask != 0 {
			share := 60 / bits.OnesCount32(mask)
			for ; mask != 0; mask &= mask - 1 {
				score[bits.TrailingZeros32(mask)] += share
			}
		}
	}
	best, second := 0, 1
	if score[second] > score[best] {
		best, second = second, best
	}
	for i := 2; i < len(score); i++ {
		switch {
		case score[i] > score[best]:
			best, second = i, best
		case score[i] > score[second]:
			second = i
		}
	}
	// At least a twentieth of the words, and a lead that is not a tie.
	if n < 8 || score[best] < 3*n || score[best]*10 < score[second]*11 {
		return ""
	}
	return languages[best]
}

func asciiLetter(c byte) bool { c |= 0x20; return c >= 'a' && c <= 'z' }
