// A second implementation of docs/exact.md, in whole numbers without bounds, to hold the
// first one against: `node check.mjs` computes every vector of vectors.json, and the logits
// of the model files given as arguments, each beside a .json with the tokens and logits, or
// with tasks, results and the roots of their traces.
import { readFileSync } from 'node:fs'
import { createHash } from 'node:crypto'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const B = BigInt
const abs = v => (v < 0n ? -v : v)
const max = (a, b) => (a > b ? a : b)
const min = (a, b) => (a < b ? a : b)
const len = v => (v === 0n ? 0n : B(v.toString(2).length))
const floorDiv = (a, b) => { const q = a / b; return a % b !== 0n && (a < 0n) !== (b < 0n) ? q - 1n : q }

// Arithmetic with F fraction bits, for the tables.
const F = 220n, ONE = 1n << F
const fmul = (a, b) => (a * b) >> F
const frac = (a, b) => (B(a) << F) / B(b)
const fexp = x => { let s = ONE, t = ONE; for (let i = 1n; i < 150n; i++) { t = fmul(t, x) / i; s += t } return s }
const fln = x => { const z = ((x - ONE) << F) / (x + ONE); let s = 0n, p = z; const q = fmul(z, z); for (let i = 1n; i < 300n; i += 2n) { s += p / i; p = fmul(p, q) } return 2n * s }
const fsin = x => { let s = 0n, t = x; const q = fmul(x, x); for (let i = 1n; i < 120n; i += 2n) { s += t; t = -fmul(t, q) / ((i + 1n) * (i + 2n)) } return s }
const atan = d => { let s = 0n, p = frac(1, d); for (let i = 1n; i < 300n; i += 2n) { s += p / i; p = -p / (B(d) * B(d)) } return s }
const PI = 16n * atan(5) - 4n * atan(239), LN2 = fln(2n * ONE)
const nearest = (x, bits) => (x + (1n << (F - bits - 1n))) >> (F - bits)
const table = (n, f) => Array.from({ length: n }, (_, i) => f(i))
const exp2High = table(256, i => nearest(fexp(-fmul(frac(i, 256), LN2)), 30n))
const exp2Low = table(256, i => nearest(fexp(-fmul(frac(i, 65536), LN2)), 30n))
const sineTable = table(1025, i => nearest(fsin(fmul(PI, frac(i, 2048))), 30n))
const sigmoidTable = table(1025, i => i === 1024 ? 1n << 30n : nearest((ONE << F) / (ONE + fexp(-frac(i, 64))), 30n))
const reciprocal = table(256, i => ((1n << 71n) + 255n + B(i)) / (256n + B(i)))
const logTable = table(256, i => nearest((fln(frac(256 + i, 256)) << F) / LN2, 48n))

// Shifts.
const round = (v, s) => (s <= 0n ? v << -s : floorDiv(v + (1n << (s - 1n)), 1n << s))
const sat32 = v => max(min(v, 2147483647n), -2147483648n)
const to32 = (v, s) => sat32(round(v, s))
const quantise = (x, exp, bits) => {
  const s = len(x.reduce((m, v) => max(m, abs(v)), 0n)) - bits
  if (s <= 0n) return { q: x, exp }
  const limit = (1n << bits) - 1n
  return { q: x.map(v => max(min(round(v, s), limit), -limit)), exp: exp + s }
}
const split = s => (s === 0n ? [0n, 0n] : [(s & 0x7fffffn) | 0x800000n, (s >> 23n) - 150n])

// Operators.
const requantise = (sum, scale, exp) => { const [m, e] = split(scale); return to32(sum * m, -(e + exp + 16n)) }
const dot = (a, b) => a.reduce((s, v, i) => s + v * b[i], 0n)
const linear = (w, scale, a, exp) => requantise(dot(w, a), scale, exp)
const embed = (w, scale) => w.map(v => { const [m, e] = split(scale); return to32(v * m, -(e + 16n)) })
const actBits = columns => min(15n, 24n - len(B(columns - 1)))
const sqrt = v => { let r = 0n; for (let b = 31n; b >= 0n; b--) { const t = r | (1n << b); if (t * t <= v) r = t } return r }
const norm = (x, gain, gainExp, eps) => {
  const n = B(x.length)
  const s = max(0n, len(x.reduce((m, v) => max(m, abs(v)), 0n)) - 24n)
  let sum = x.reduce((t, v) => { const r = round(v, s); return t + r * r }, 0n) + ((eps * n) >> (2n * s))
  sum = max(sum, 1n)
  let z = 64n - len(sum)
  let mean = (sum << z) / n
  if (z & 1n) { mean >>= 1n; z-- }
  const y = (64n - len(mean)) & ~1n
  mean <<= y; z += y
  const r = (1n << 62n) / sqrt(mean), shift = 62n + s - z / 2n - 20n
  return { y: x.map((v, i) => round(v * r, shift) * gain[i]), exp: gainExp - 20n }
}
const widen = (x, exp) => x.map(v => to32(v, -(exp + 16n)))
const sine = angle => {
  const a = (angle & 0xffffffffffffffffn) >> 32n
  let p = a & 0x3fffffffn
  if ((a >> 30n) & 1n) p = (1n << 30n) - p
  const i = Number(p >> 20n), f = p & 0xfffffn
  let s = sineTable[i]
  if (f) s += round((sineTable[i + 1] - s) * f, 20n)
  return a >> 31n ? -s : s
}
const cosine = angle => sine(angle + (1n << 62n))
const rotate = (x, freq, pos, halves) => {
  x = [...x]
  freq.forEach((f, i) => {
    const [j, k] = halves ? [i, i + freq.length] : [2 * i, 2 * i + 1]
    const s = sine(f * pos), c = cosine(f * pos), a = x[j], b = x[k]
    x[j] = to32(a * c - b * s, 30n)
    x[k] = to32(a * s + b * c, 30n)
  })
  return x
}
const exp2 = d => {
  const n = d >> 16n
  if (n > 30n) return 0n
  return round((exp2High[Number((d >> 8n) & 255n)] * exp2Low[Number(d & 255n)] + (1n << 29n)) >> 30n, n)
}
const weights = (scores, exps) => {
  const top = scores.reduce(max), high = exps.reduce(max)
  const e = scores.map(s => exp2(top - s))
  return { w: e.map((v, t) => min(round(v, 15n + high - exps[t]), 32767n)), sum: e.reduce((a, b) => a + b), exp: high }
}
const mix = (total, sum, exp) => {
  const n = total << 20n
  const q = (abs(n) + sum / 2n) / sum
  return to32(n < 0n ? -q : q, 5n - exp - 16n)
}
const sigmoid = x => {
  const a = abs(x), i = a >> 10n
  let s = 1n << 30n
  if (i < 1024n) { s = sigmoidTable[i]; s += round((sigmoidTable[i + 1n] - s) * (a & 1023n), 10n) }
  return x < 0n ? (1n << 30n) - s : s
}
const gate = (g, u) => g.map((v, i) => round(v * sigmoid(v), 30n) * u[i])
const LOG2E63 = nearest((ONE << F) / LN2, 63n), LOG2E24 = nearest((ONE << F) / LN2, 24n), LN2_30 = nearest(LN2, 30n)
const high = (a, b) => (a * b) >> 64n
const log2 = u => {
  const z = 64n - len(u), m = u << z, i = (m >> 55n) & 255n
  const r = (high(m, reciprocal[i]) - (1n << 62n)) << 2n
  let t = (1n << 64n) / 5n
  for (const c of [1n << 62n, (1n << 64n) / 3n, 1n << 63n, (1n << 64n) - 1n]) t = c - high(r, t)
  return ((63n - z) << 48n) + logTable[i] + (high(high(r, t), LOG2E63) >> 15n)
}
const noise = (seed, position, token) => {
  const b = Buffer.alloc(52)
  b.write('gumbel/1')
  seed.copy(b, 8)
  b.writeBigUInt64LE(position, 40)
  b.writeUInt32LE(Math.floor(token / 4), 48)
  const u = max(createHash('sha256').update(b).digest().readBigUInt64LE((token % 4) * 8), 1n)
  return -(log2(max((64n << 48n) - log2(u), 1n)) >> 24n)
}
const draw = (logits, position, seed, temperature, topK, topP) => {
  const top = logits.reduce(max)
  if (temperature === 0n) return logits.indexOf(top)
  const k = (LOG2E24 * 1000000n) / temperature
  let c = logits.map((l, id) => ({ id, l, cost: ((top - l) * k) >> 16n }))
  c.sort((a, b) => (a.l === b.l ? a.id - b.id : a.l > b.l ? -1 : 1))
  if (topK > 0n && topK < c.length) c = c.slice(0, Number(topK))
  if (topP > 0n && topP < 1000000n) {
    const e = c.map(x => exp2(x.cost >> 8n)), total = e.reduce((a, b) => a + b)
    let sum = 0n
    const n = e.findIndex(v => (sum += v, (sum >> 8n) * 1000000n >= (total >> 8n) * topP))
    c = c.slice(0, n + 1)
  }
  return c.map(x => ({ id: x.id, v: noise(seed, position, x.id) - x.cost })).reduce((a, b) => b.v > a.v || (b.v === a.v && b.id < a.id) ? b : a).id
}
const logSum = logits => {
  const top = logits.reduce(max)
  const sum = logits.reduce((s, l) => s + exp2(((top - l) * LOG2E24) >> 24n), 0n)
  return { top, log: round(((log2(sum) - (30n << 48n)) >> 24n) * LN2_30, 38n) }
}

// Vectors.
const calls = {
  to32: i => ({ out: to32(i.v, i.s) }),
  quantise: i => quantise(i.x, i.exp, i.bits),
  linear: i => ({ out: linear(i.w, i.scale, i.a, i.exp) }),
  embed: i => ({ out: embed(i.w, i.scale) }),
  norm: i => { const { y, exp } = norm(i.x, i.gain, i.gainExp, i.eps); return { out: y, exp, wide: widen(y, exp) } },
  sincos: i => ({ sin: sine(i.angle), cos: cosine(i.angle) }),
  rotate: i => ({ out: rotate(i.x, i.freq, i.pos, i.halves === 1n) }),
  exp2: i => ({ out: exp2(i.d) }),
  attend: i => { const { w, sum, exp } = weights(i.scores, i.exps); return { weights: w, sum, exp, mix: mix(dot(w, i.values), sum, exp) } },
  gate: i => ({ out: gate(i.gate, i.up) }),
  log2: i => ({ out: log2(i.u) }),
  draw: i => {
    const { top, log } = logSum(i.logits)
    return { token: draw(i.logits, i.position, i.seed, i.temperature, i.topK, i.topP), noise: noise(i.seed, i.position, i.logits.length - 1), top, logSum: log }
  },
}
const parse = (k, v) => (k === 'seed' ? Buffer.from(v, 'hex') : Array.isArray(v) ? v.map(B) : B(v))
const text = v => (Array.isArray(v) ? v.map(String) : String(v))
let bad = 0
const vectors = JSON.parse(readFileSync(join(dirname(fileURLToPath(import.meta.url)), 'vectors.json')))
for (const [n, { op, in: args, want }] of vectors.entries()) {
  const got = calls[op](Object.fromEntries(Object.entries(args).map(([k, v]) => [k, parse(k, v)])))
  for (const k of Object.keys(want)) {
    if (JSON.stringify(text(got[k])) !== JSON.stringify(want[k])) {
      bad++
      console.log(`vector ${n} (${op}): ${k} is ${JSON.stringify(text(got[k]))}, want ${JSON.stringify(want[k])}`)
    }
  }
}
console.log(`${vectors.length} vectors`)

// Models.
const load = file => {
  const b = readFileSync(file)
  let at = 24
  const align = () => { at = Math.ceil(at / 64) * 64 }
  const take = n => { align(); at += n; return b.subarray(at - n, at) }
  const c = JSON.parse(take(Number(b.readBigUInt64LE(8))))
  take(Number(b.readBigUInt64LE(16)))
  const f = take(8 * c.rotary_pairs)
  const freq = table(c.rotary_pairs, i => f.readBigUInt64LE(8 * i))
  const matrix = (rows, cols) => {
    const t = take(rows * cols + 4 * rows)
    return table(rows, r => ({ w: table(cols, i => B(t.readInt8(r * cols + i))), scale: B(t.readUInt32LE(rows * cols + 4 * r)) }))
  }
  const gain = n => { const t = take(4 + 4 * n); return { exp: B(t.readInt32LE(0)), m: table(n, i => B(t.readInt32LE(4 + 4 * i))) } }
  const bias = n => { const t = take(4 * n); return table(n, i => B(t.readInt32LE(4 * i))) }
  const project = rows => ({ m: matrix(rows, c.dim), bias: c.qkv_bias ? bias(rows) : undefined })
  const m = { c, freq, embed: matrix(c.vocab, c.dim), layers: [] }
  for (let l = 0; l < c.layers; l++) {
    const y = { attnNorm: gain(c.dim), query: project(c.heads * c.head_dim), key: project(c.kv_heads * c.head_dim), value: project(c.kv_heads * c.head_dim) }
    if (c.head_norm) { y.queryNorm = gain(c.head_dim); y.keyNorm = gain(c.head_dim) }
    Object.assign(y, { out: matrix(c.dim, c.heads * c.head_dim), ffnNorm: gain(c.dim), gate: matrix(c.hidden, c.dim), up: matrix(c.hidden, c.dim), down: matrix(c.dim, c.hidden) })
    m.layers.push(y)
  }
  m.norm = gain(c.dim)
  m.output = c.tied ? m.embed : matrix(c.vocab, c.dim)
  align()
  if (at !== b.length) throw new Error(`${file}: ${b.length} bytes, read ${at}`)
  return m
}
// Tiles of a trace.
const ints = (list, n, write) => { const b = Buffer.alloc(n * list.length); list.forEach((v, i) => b[write](n === 8 ? BigInt.asUintN(64, v) : Number(v), n * i)); return b }
const i16 = list => ints(list, 2, 'writeInt16LE'), i32 = list => ints(list, 4, 'writeInt32LE'), i64 = list => ints(list, 8, 'writeBigUInt64LE')
const blockTile = ({ q, exp }) => Buffer.concat([i32([exp]), i16(q)])
const chunks = (v, n) => table(Math.ceil(v.length / n), i => v.slice(i * n, (i + 1) * n))
const rowsOf = columns => { let n = 64; while (n > 1 && n * columns > 32768) n /= 2; return n }
const attentionTiles = (c, pos, q, cache, put) => {
  const d = c.head_dim, group = c.heads / c.kv_heads, first = c.window ? Math.max(0, pos + 1 - c.window) : 0
  const pages = []
  for (let p = Math.floor(first / 32); p <= Math.floor(pos / 32); p++) pages.push([Math.max(32 * p, first), Math.min(32 * p + 32, pos + 1)])
  const heads = table(c.kv_heads, g => ({ g, q: q.slice(g * group, (g + 1) * group), kv: cache.map(t => ({ k: t.k[g], v: t.v[g] })) }))
  for (const h of heads) {
    h.scores = h.q.map(a => h.kv.map(t => requantise(dot(a.q, t.k.q), B(c.score), a.exp + t.k.exp)))
    for (const [from, to] of pages) {
      const exps = h.kv.slice(first, to).map(t => t.v.exp)
      put(i32([exps.reduce(max), ...h.scores.map(s => s.slice(first, to).reduce(max)), ...exps.slice(from - first), ...h.scores.flatMap(s => s.slice(from, to))]))
    }
  }
  for (const h of heads) {
    const E = h.kv.slice(first).map(t => t.v.exp).reduce(max), tops = h.scores.map(s => s.slice(first).reduce(max))
    for (const [, to] of pages) {
      const seen = h.kv.slice(first, to)
      const e = h.scores.map((s, i) => s.slice(first, to).map(v => exp2(tops[i] - v)))
      const totals = e.flatMap(list => {
        const w = list.map((v, t) => min(round(v, 15n + E - seen[t].v.exp), 32767n))
        return table(d, j => w.reduce((s, v, t) => s + v * seen[t].v.q[j], 0n))
      })
      put(i64([...e.map(list => list.reduce((a, b) => a + b)), ...totals]))
    }
  }
}
const drawTiles = (logits, position, t, put) => {
  const parts = chunks(logits.map((l, id) => ({ id, l })), 2048)
  const K = LOG2E24 * 1000000n
  const first = (a, b) => (a.l === b.l ? a.id - b.id : a.l > b.l ? -1 : 1)
  let peak
  for (const p of parts) { for (const x of p) if (!peak || x.l > peak.l) peak = x; put(i32([peak.l, peak.id])) }
  let sum = 0n, best = []
  if (t.logProbs) {
    for (const p of parts) {
      for (const x of p) sum += exp2(((peak.l - x.l) * LOG2E24) >> 24n)
      best = [...best, ...p].sort(first).slice(0, t.top)
      put(Buffer.concat([i64([sum]), i32(best.flatMap(x => [x.l, x.id]))]))
    }
  }
  let drawn = peak
  if (t.temperature > 0n) {
    const cost = x => ((peak.l - x.l) * (K / t.temperature)) >> 16n
    const place = x => ((2147483647n - x.l) << 18n) | B(x.id)
    let limit = 1n << 50n
    const keep = (counts, enough) => {
      let prefix = 0n, base = 0n, total = 0n
      for (let pass = 0n; pass < 10n; pass++) {
        const sums = table(32, () => 0n), shift = 45n - 5n * pass
        for (const p of parts) {
          for (const x of p) { const o = place(x); if (o <= limit && o >> (shift + 5n) === prefix) sums[Number((o >> shift) & 31n)] += counts(x) }
          put(i64([prefix, base, total, ...sums]))
        }
        if (pass === 0n) total = sums.reduce((a, b) => a + b)
        let digit = 0
        while (digit < 31 && !enough(base + sums[digit], total)) base += sums[digit++]
        prefix = (prefix << 5n) | B(digit)
        if (!counts.totals) total = 0n
      }
      limit = prefix
    }
    if (t.topK > 0n && t.topK < B(logits.length)) keep(() => 1n, s => s >= t.topK)
    const mass = x => exp2(cost(x) >> 8n)
    mass.totals = true
    if (t.topP > 0n && t.topP < 1000000n) keep(mass, (s, total) => (s >> 8n) * 1000000n >= (total >> 8n) * t.topP)
    let value = -(1n << 63n)
    for (const p of parts) {
      for (const x of p) {
        if (place(x) > limit) continue
        const v = noise(t.seed, position, x.id) - cost(x)
        if (v > value) { value = v; drawn = x }
      }
      put(Buffer.concat([i64([value]), value === -(1n << 63n) ? i32([0, 0]) : i32([drawn.l, drawn.id])]))
    }
  }
  const log = round(((log2(max(sum, 1n)) - (30n << 48n)) >> 24n) * LN2_30, 38n), prob = x => sat32(x.l - peak.l - log)
  put(i32(t.logProbs ? [drawn.id, prob(drawn), ...best.flatMap(x => [x.id, prob(x)])] : [drawn.id]))
}
const sha = (...parts) => { const h = createHash('sha256'); parts.forEach(p => h.update(p)); return h.digest() }
const treeRoot = list => {
  if (list.length === 1) return list[0]
  let n = 1
  while (2 * n < list.length) n *= 2
  return sha(Buffer.from([1]), treeRoot(list.slice(0, n)), treeRoot(list.slice(n)))
}

// forward computes logits; sink gets the tiles of the trace, last says which position wants the
// state before the output, and draws which want a token.
const forward = (m, tokens, sink, last = -1, draws = () => false, t = {}) => {
  const put = sink ?? (() => {})
  const { c, freq } = m, d = c.head_dim, eps = B(c.eps)
  const times = (matrix, x, exp) => { const a = quantise(x, exp, actBits(x.length)); return matrix.map(r => linear(r.w, r.scale, a.q, a.exp)) }
  const add = (x, y) => x.map((v, i) => sat32(v + y[i]))
  const normed = (x, g) => norm(x, g.m, g.exp, eps)
  const input = (x, exp) => put(blockTile(quantise(x, exp, actBits(x.length))))
  const product = (v, columns) => { chunks(v, rowsOf(columns)).forEach(p => put(i32(p))); return v }
  const cache = m.layers.map(() => [])
  return tokens.map((token, pos) => {
    let x = embed(m.embed[token].w, m.embed[token].scale)
    m.layers.forEach((y, l) => {
      put(i32(x))
      const h = normed(x, y.attnNorm)
      input(h.y, h.exp)
      const [query, key, value] = [y.query, y.key, y.value].map(p => { const v = product(times(p.m, h.y, h.exp), c.dim); return p.bias ? add(v, p.bias) : v })
      const heads = v => chunks(v, d)
      const finish = g => v => {
        if (g) { const n = normed(v, g); v = widen(n.y, n.exp) }
        return quantise(rotate(v, freq, B(pos), c.halves), -16n, 11n)
      }
      const q = heads(query).map(finish(y.queryNorm))
      cache[l].push({ k: heads(key).map(finish(y.keyNorm)), v: heads(value).map(v => quantise(v, -16n, 11n)) })
      q.forEach(b => put(blockTile(b)))
      const own = cache[l][pos]
      own.k.forEach((k, g) => put(Buffer.concat([i32([k.exp, own.v[g].exp]), i16(k.q), i16(own.v[g].q)])))
      if (sink) attentionTiles(c, pos, q, cache[l], put)
      const seen = cache[l].slice(c.window ? Math.max(0, pos + 1 - c.window) : 0)
      const mixed = q.flatMap((a, i) => {
        const kv = Math.floor(i / (c.heads / c.kv_heads))
        const scores = seen.map(t => requantise(dot(a.q, t.k[kv].q), B(c.score), a.exp + t.k[kv].exp))
        const { w, sum, exp } = weights(scores, seen.map(t => t.v[kv].exp))
        return table(d, j => mix(dot(w, seen.map(t => t.v[kv].q[j])), sum, exp))
      })
      chunks(mixed, mixed.length / c.kv_heads).forEach(v => put(i32(v)))
      input(mixed, -16n)
      x = add(x, product(times(y.out, mixed, -16n), mixed.length))
      put(i32(x))
      const f = normed(x, y.ffnNorm)
      input(f.y, f.exp)
      const inner = gate(product(times(y.gate, f.y, f.exp), c.dim), product(times(y.up, f.y, f.exp), c.dim))
      let bits = 0n
      for (const v of chunks(inner, 1024)) put(i32([bits = max(bits, len(v.map(abs).reduce(max)))]))
      for (const v of chunks(quantise(inner, -32n, actBits(c.hidden)).q, 1024)) put(i16(v))
      x = add(x, product(times(y.down, inner, -32n), c.hidden))
    })
    put(i32(x))
    const n = normed(x, m.norm)
    if (pos === last) put(i32(widen(n.y, n.exp)))
    if (draws(pos)) input(n.y, n.exp)
    if (sink && !draws(pos)) return []
    const logits = times(m.output, n.y, n.exp)
    if (draws(pos)) { product(logits, c.dim); drawTiles(logits, B(pos + 1), t, put) }
    return logits
  })
}
const traceRoot = (m, t) => {
  const tokens = [...t.prompt, ...t.output].slice(0, t.embed ? undefined : -1), tiles = []
  const numbers = { ...t, seed: Buffer.from(t.seed, 'hex'), temperature: B(t.temperature), topK: B(t.topK), topP: B(t.topP) }
  forward(m, tokens, b => tiles.push(sha(Buffer.from([0]), b)), t.embed ? tokens.length - 1 : -1, p => !t.embed && p >= t.prompt.length - 1, numbers)
  return treeRoot(tiles).toString('hex')
}
for (const file of process.argv.slice(2)) {
  const { tokens, logits, traces = [] } = JSON.parse(readFileSync(file + '.json'))
  const m = load(file)
  for (const t of traces) {
    const root = traceRoot(m, t)
    if (root !== t.root) { bad++; console.log(`${file}: the trace of ${t.name} has root ${root}, want ${t.root}`) }
  }
  if (!tokens) { console.log(`${file}: ${traces.length} traces`); continue }
  const got = forward(m, tokens)
  got.forEach((row, i) => {
    if (JSON.stringify(row.map(Number)) !== JSON.stringify(logits[i])) { bad++; console.log(`${file}: logits of position ${i} differ`) }
  })
  console.log(`${file}: ${tokens.length} positions`)
}
process.exit(bad ? 1 : 0)
