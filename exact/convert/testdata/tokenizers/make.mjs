// Makes small tokenizer.json files and what another implementation, the npm package
// @huggingface/tokenizers 0.2.0, makes of some texts with them:
//
//	npm install @huggingface/tokenizers@0.2.0 && node make.mjs ../stories.txt
//
// The merges are those that are most frequent in the texts.
import { readFileSync, writeFileSync } from 'node:fs'
import { Tokenizer } from '@huggingface/tokenizers'

const letters = (() => {
  const keep = b => (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174
  let n = 256
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(keep(b) ? b : n++))
})()
const llama3 = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
const qwen2 = llama3.replace('{1,3}', '')
const level = use_regex => ({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex })
const split = Regex => ({ type: 'Sequence', pretokenizers: [{ type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false }, level(false)] })
const ways = {
  gpt2: level(true),
  smollm: { type: 'Sequence', pretokenizers: [{ type: 'Digits', individual_digits: true }, level(true)] },
  llama3: split(llama3),
  qwen2: split(qwen2),
}

const texts = [
  '', ' ', 'Once upon a time', " Once  upon   a time.\n\nThere  was", "don't DON'T I'll I'LL we've it's 'twas 'S", 'a1b22c333d4444 55555 6 ½ ²',
  'line\r\nline\n\n\n  indented\n\t\ttabs \t \n end  ', 'snake_case camelCase (brackets) [x] {y} <z> a+b=c; // x != y', 'naïve café Straße ŒUVRE Ωμέγα привет мир',
  '你好，世界！こんにちは 안녕하세요', '👩‍👩‍👧 🇫🇷 👍🏽 ok', 'a\u00a0b\u2003c\u3000d', '...!!!   ???  ', "'", "''s", " '", '\n', ' \n', '\n ', '  \n  x', '3.14159, -2e10', 'x'.repeat(70),
  '<|end|>Hi<|end|>', 'user said <|end|> and went', ' <tool>x</tool> ', 'ſ\'ſ K', 'ab\u0301c\u200bd\ufeffe', "they'RE she'D\u2019s",
  ...readFileSync(process.argv[2], 'utf8').split('\n').slice(0, 2),
]
// Texts are not cut before their pairs are counted, so that merges reach across the places
// where words are cut and it shows where they are.
const words = [...texts, ...texts, readFileSync(process.argv[2], 'utf8')].map(w => [...Buffer.from(w)].map(b => letters[b]))
const vocab = Object.fromEntries(letters.map((l, i) => [l, i]))
const merges = []
for (let i = 0; i < 500; i++) {
  const count = new Map()
  for (const w of words) for (let j = 0; j + 1 < w.length; j++) { const k = w[j] + ' ' + w[j + 1]; count.set(k, (count.get(k) ?? 0) + 1) }
  const [best] = [...count].reduce((a, b) => (b[1] > a[1] ? b : a))
  const [l, r] = best.split(' ')
  merges.push(best)
  vocab[l + r] ??= 256 + i
  for (const w of words) for (let j = 0; j + 1 < w.length; j++) if (w[j] === l && w[j + 1] === r) w.splice(j, 2, l + r)
}
const top = Object.keys(vocab).length
for (const k of Object.keys(vocab)) if (vocab[k] >= top) throw new Error('holes')

for (const [name, pre_tokenizer] of Object.entries(ways)) {
  const file = {
    version: '1.0', truncation: null, padding: null,
    added_tokens: [{ id: top, content: '<|end|>', special: true }, { id: top + 1, content: '<tool>', special: false }]
      .map(t => ({ single_word: false, lstrip: false, rstrip: false, normalized: false, ...t })),
    normalizer: null, pre_tokenizer, post_processor: null, decoder: level(true),
    model: { type: 'BPE', dropout: null, unk_token: null, continuing_subword_prefix: null, end_of_word_suffix: null, fuse_unk: false, byte_fallback: false, ignore_merges: name === 'llama3', vocab, merges },
  }
  writeFileSync(`${name}.json`, JSON.stringify(file))
  const t = new Tokenizer(file, {})
  // Its Digits knows only those of ASCII; the original knows all numbers.
  const known = texts.filter(t => name !== 'smollm' || !/[½²]/.test(t))
  writeFileSync(`${name}.vectors.json`, '[\n' + known.map(text => JSON.stringify({ text, ids: t.encode(text, { add_special_tokens: false }).ids })).join(',\n') + '\n]\n')
}
