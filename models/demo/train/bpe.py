"""Byte-pair encoding: its training, its use, and tokenizer.json."""

import collections
import json
import re

# GPT-2's way to cut text into words, for ASCII.
WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


def letters():
    """The letters that stand for bytes in tokenizer.json."""
    same = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, n = {}, 0
    for b in range(256):
        if b in same:
            table[b] = chr(b)
        else:
            table[b] = chr(256 + n)
            n += 1
    return table


class BPE:
    def __init__(self, merges, special):
        self.merges = merges
        self.ranks = {m: i for i, m in enumerate(merges)}
        self.tokens = [bytes([b]) for b in range(256)] + [a + b for a, b in merges]
        self.ids = {t: i for i, t in enumerate(self.tokens)}
        self.special = {s: len(self.tokens) + i for i, s in enumerate(special)}
        self.size = len(self.tokens) + len(special)
        self.cut = re.compile("(" + "|".join(map(re.escape, special)) + ")")
        self.known = {}

    @staticmethod
    def train(text, size, special):
        counts = collections.Counter()
        for part in re.split("|".join(map(re.escape, special)), text):
            counts.update(WORDS.findall(part))
        words = [([bytes([b]) for b in w.encode()], n) for w, n in sorted(counts.items())]
        pairs, where = collections.Counter(), collections.defaultdict(set)
        for i, (w, n) in enumerate(words):
            for p in zip(w, w[1:]):
                pairs[p] += n
                where[p].add(i)
        merges, have = [], {bytes([b]) for b in range(256)}
        while len(merges) < size - 256 - len(special):
            best = max(pairs, key=lambda p: (pairs[p], p))
            if pairs[best] < 2:
                raise SystemExit("the text is too short for that vocabulary")
            whole = best[0] + best[1]
            if whole not in have:
                merges.append(best)
                have.add(whole)
            for i in list(where[best]):
                w, n = words[i]
                for p in zip(w, w[1:]):
                    pairs[p] -= n
                    where[p].discard(i)
                out, j = [], 0
                while j < len(w):
                    if j + 1 < len(w) and (w[j], w[j + 1]) == best:
                        out.append(whole)
                        j += 2
                    else:
                        out.append(w[j])
                        j += 1
                words[i] = (out, n)
                for p in zip(out, out[1:]):
                    pairs[p] += n
                    where[p].add(i)
            pairs.pop(best, None)
        return BPE(merges, special)

    def word(self, w):
        if w not in self.known:
            parts = [bytes([b]) for b in w.encode()]
            while len(parts) > 1:
                rank, at = min((self.ranks.get(p, 1 << 30), i) for i, p in enumerate(zip(parts, parts[1:])))
                if rank == 1 << 30:
                    break
                parts[at : at + 2] = [parts[at] + parts[at + 1]]
            self.known[w] = [self.ids[p] for p in parts]
        return self.known[w]

    def encode(self, text):
        out = []
        for part in self.cut.split(text):
            if part in self.special:
                out.append(self.special[part])
            else:
                for w in WORDS.findall(part):
                    out += self.word(w)
        return out

    def decode(self, ids):
        return b"".join(self.tokens[i] if i < len(self.tokens) else b"" for i in ids).decode(errors="replace")

    def save(self, path):
        table = letters()
        name = lambda t: "".join(table[b] for b in t)
        with open(path, "w") as f:
            json.dump(
                {
                    "version": "1.0",
                    "truncation": None,
                    "padding": None,
                    "added_tokens": [
                        {"id": i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
                        for s, i in self.special.items()
                    ],
                    "normalizer": None,
                    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
                    "post_processor": None,
                    "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
                    "model": {
                        "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                        "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                        "vocab": {name(t): i for i, t in enumerate(self.tokens)},
                        "merges": [name(a) + " " + name(b) for a, b in self.merges],
                    },
                },
                f, ensure_ascii=False,
            )
