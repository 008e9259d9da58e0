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

// Hot answers go on for long.
const ask = (i, rest, options) => client.chat.completions.create({ model, messages, seed: 100 + i, temperature: 2, max_tokens: 400, ...rest }, options);
const n = 8;
let whole = 0;
for (let i = 0; i < n; i++) whole += (await ask(i)).cantus.units;

const before = await settle();
for (let i = 0; i < n; i++) {
  const stop = new AbortController();
  let pieces = 0;
  try {
    for await (const c of await ask(i, { stream: true }, { signal: stop.signal })) {
      if (c.choices[0]?.delta?.content && ++pieces === 2) stop.abort();
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
