// Clients that go away in the middle: generation stops, and only what was done is paid.

import assert from "node:assert/strict";
import { client, messages, model } from "./client.mjs";

const root = client.baseURL.replace(/\/v1\/?$/, "");
const usage = async () => (await fetch(`${root}/infer/v1/key`, { headers: { Authorization: `Bearer ${client.apiKey}` } })).json();
const settle = async () => {
  for (let u; ; ) {
    u = await usage();
    if (u.reserved === 0) return u;
    await new Promise((r) => setTimeout(r, 100));
  }
};

const ask = (seed, rest, options) => client.chat.completions.create({ model, messages, seed, temperature: 2, max_tokens: 400, ...rest }, options);
// The seeds of long answers: a short one is over before a client can go away.
const n = 8;
const seeds = [];
for (let seed = 100; seed < 164; seed++) seeds.push({ seed, units: (await ask(seed)).cantus.units });
seeds.sort((a, b) => b.units - a.units).splice(n);
const whole = seeds.reduce((sum, s) => sum + s.units, 0);

const before = await settle();
for (const { seed } of seeds) {
  const stop = new AbortController();
  let pieces = 0;
  try {
    for await (const c of await ask(seed, { stream: true }, { signal: stop.signal })) {
      if (!c.choices[0]?.delta?.content || ++pieces < 2) continue;
      stop.abort();
      break; // where the rest was there already, Node's fetch never settles after an abort
    }
  } catch (e) {
    if (!stop.signal.aborted) throw e;
  }
}
const after = await settle();
const paid = after.spent - before.spent;
console.log(`${n} clients hung up after 2 pieces: ${paid} units; their whole answers cost ${whole}`);
assert.ok(paid > 0, "what was done is paid");
assert.ok(paid < whole, "generation went on after the client had gone");
