"""What WordNet says of common words, as facts that questions can be asked about.

facts(dir) reads WordNet's own files (data.*, index.* and cntlist.rev) and yields Fact: what is
asked, about which word, and the answer. Nothing is random here.
"""

import collections
import hashlib
import os
import re
from dataclasses import dataclass

PARTS = {"noun": "n", "verb": "v", "adj": "a", "adv": "r"}

# What a demonstration for everybody leaves out.
UNFIT = re.compile(
    r"\b(slur|offensive|obscen\w*|vulgar\w*|disparag\w*|derogat\w*|sexual\w*|sex|genital\w*|penis|vagina|"
    r"prostitut\w*|rape\w?|rapist|whore\w*|copulat\w*|intercourse|masturbat\w*|nipple\w*|breasts?|buttocks|"
    r"anus|rectum|feces|excrement|urin\w*|semen|negro\w*|nigg\w*|homosexual\w*|jew\w*|nazi\w*|suicide|incest\w*)\b",
    re.I,
)


@dataclass(frozen=True)
class Fact:
    ask: str  # the sort of question, a key of talk.QUESTIONS
    word: str
    answer: str

    @property
    def held_out(self):
        """Two of a hundred are kept for the test: by hash, so that they stay the same."""
        return hashlib.sha256(f"{self.ask}/{self.word}".encode()).digest()[0] < 5


@dataclass
class Synset:
    key: str
    part: str
    words: list
    links: list  # (symbol, key, source word, target word)
    meaning: str
    examples: list


def plain(word):
    return re.sub(r"\((a|p|ip)\)$", "", word).replace("_", " ")


def read(path, part):
    """The synsets of one data file."""
    with open(path, encoding="ascii", errors="ignore") as f:
        for line in f:
            if line.startswith("  "):
                continue
            head, gloss = line.rstrip().split(" | ", 1) if " | " in line else (line, "")
            a = head.split()
            n = int(a[3], 16)
            words = [plain(w) for w in a[4 : 4 + 2 * n : 2]]
            at = 4 + 2 * n
            links = []
            for i in range(int(a[at])):
                symbol, offset, to, ends = a[at + 1 + 4 * i : at + 5 + 4 * i]
                links.append((symbol, to.replace("s", "a") + offset, int(ends[:2], 16), int(ends[2:], 16)))
            examples = re.findall(r'"([^"]+)"', gloss)
            meaning = re.sub(r';?\s*"[^"]*"[^";]*', "", gloss).strip(" ;:")
            yield Synset(PARTS[part] + a[0], part, words, links, meaning, examples)


def short(meaning):
    """The meaning without its afterthoughts."""
    meaning = re.sub(r"\s+", " ", re.sub(r"^\([^)]*\) ?", "", meaning))
    parts = meaning.split("; ")
    out = parts[0]
    if len(out) < 30 and len(parts) > 1:
        out += "; " + parts[1]
    out = out.rstrip(".")
    return out if 3 < len(out) <= 160 and out.count("(") == out.count(")") else None


def article(word):
    if word[0].isupper():
        return word
    if re.match(r"(hour|hono|heir|honest)", word) or re.match(r"[aeiou](?!ni[^nm]|se|ur|ne\b)", word, re.I):
        return "an " + word
    return "a " + word


def series(words, last="and"):
    words = list(words)
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" {last} " + words[-1]


class WordNet:
    def __init__(self, folder):
        self.synsets = {}
        for part in PARTS:
            for s in read(os.path.join(folder, "data." + part), part):
                self.synsets[s.key] = s
        self.first = {}  # (word, part) → its first meaning
        self.seen = collections.Counter()  # how often a word was met
        self.tagged = collections.Counter()  # how often (word, part) was, in running text
        kinds = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}
        with open(os.path.join(folder, "cntlist.rev"), encoding="ascii") as f:
            for line in f:
                key, _, count = line.split()
                lemma, rest = key.split("%")
                self.seen[lemma.replace("_", " ")] += 3 * int(count)
                self.tagged[lemma.replace("_", " "), kinds[rest[0]]] += int(count)
        for part in PARTS:
            with open(os.path.join(folder, "index." + part), encoding="ascii") as f:
                for line in f:
                    a = line.split()
                    if not line.startswith(" "):
                        self.first[a[0].replace("_", " "), part] = PARTS[part] + a[-int(a[2])]
        for s in self.synsets.values():
            for w in re.findall(r"[a-z]+", (s.meaning + " " + " ".join(s.examples)).lower()):
                self.seen[w] += 1
                if w.endswith("s"):
                    self.seen[w[:-1]] += 1
        self.unfit = {k for k, s in self.synsets.items() if UNFIT.search(" ".join([s.meaning, *s.examples, *s.words]))}

    def fit(self, key):
        return key in self.synsets and key not in self.unfit

    def linked(self, s, *symbols):
        return [self.synsets[k] for symbol, k, a, _ in s.links if symbol in symbols and a == 0 and self.fit(k)]

    def means(self, word, s):
        """Whether that is what a word means first: others would puzzle who reads the word alone."""
        return self.first.get((word.lower(), s.part)) == s.key and self.seen[word.lower()] > 0

    def best(self, synsets, most, but):
        """A word for each, the best known ones first."""
        words = []
        for s in synsets:
            known = [w for w in s.words if self.means(w, s) and w.lower() != but.lower()]
            if known:
                words.append(max(known, key=lambda w: self.seen[w.lower()]))
        return sorted(dict.fromkeys(words), key=lambda w: -self.seen[w.lower()])[:most]

    def facts(self, common):
        """Facts about the words that are best known, that many."""
        ranked = sorted({w for w, _ in self.first if re.fullmatch(r"[a-z]{2,}", w)}, key=lambda w: (-self.seen[w], w))
        for word in ranked[:common]:
            parts = [p for p in PARTS if (word, p) in self.first and self.fit(self.first[word, p])]
            if not parts:
                continue
            main = max(parts, key=lambda p: self.tagged[word, p])
            for part in parts:
                if part == main or 4 * self.tagged[word, part] > self.tagged[word, main]:
                    yield from self.about(word, part, part == main, self.synsets[self.first[word, part]])

    def about(self, word, part, main, s):
        name = next((w for w in s.words if w.lower() == word), word)
        title = name[0].upper() + name[1:]
        meaning = short(s.meaning)
        if meaning:
            yield Fact("verb" if part == "verb" else "noun" if part == "noun" else "quality", name, f"{'To ' + name if part == 'verb' else title}: {meaning}.")
            if main:
                yield Fact("meaning", name, f"{'To ' + name if part == 'verb' else title}: {meaning}.")
        same = [w for w in s.words if w.lower() != word and self.means(w, s)][:3]
        if same and main:
            yield Fact("synonym", name, f"Another word for {name} is {series(same, 'or')}.")
        for symbol, key, a, b in s.links:
            if symbol == "!" and self.fit(key) and s.words[a - 1].lower() == word:
                yield Fact("opposite", name, f"The opposite of {name} is {self.synsets[key].words[b - 1]}.")
                break
        for example in s.examples[:2]:
            if re.search(rf"\b{re.escape(word)}", example, re.I) and 20 < len(example) < 100 and example.count(" ") > 3:
                yield Fact("example", name, example[0].upper() + example[1:] + ("" if example[-1] in ".!?" else "."))
                break
        if part != "noun":
            return
        for symbol, is_kind in (("@", True), ("@i", False)):
            above = self.linked(s, symbol)
            if above and above[0].words[0].lower() != word:
                general = above[0].words[0]
                yield Fact("kind", name, f"{title} is a kind of {general}." if is_kind else f"{title} is {article(general)}.")
                break
        below = self.best(self.linked(s, "~", "~i"), 4, name)
        if len(below) >= 2:
            yield Fact("kinds", name, f"Some kinds of {name} are {series(below)}.")
        pieces = self.best(self.linked(s, "%p", "%s"), 4, name)
        if pieces:
            yield Fact("parts", name, f"Parts of {article(name)} are {series(pieces)}." if len(pieces) > 1 else f"A part of {article(name)} is the {pieces[0]}.")


def facts(folder, common):
    return list(dict.fromkeys(WordNet(folder).facts(common)))
