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

const price = (await client.models.retrieve(model)).cantus;
const before = await settle();
const n = 20;
let prompt = 0;
for (let i = 0; i < n; i++) {
  const stop = new AbortController();
  const stream = await client.chat.completions.create({ model, messages, seed: 100 + i, temperature: 1.5, max_tokens: 400, stream: true }, { signal: stop.signal });
  let tokens = 0;
  try {
    for await (const c of stream) {
      if (c.choices[0]?.delta?.content && ++tokens === 2) stop.abort();
    }
  } catch (e) {
    if (!stop.signal.aborted) throw e;
  }
  const probe = await client.chat.completions.create({ model, messages, max_tokens: 1 });
  prompt = probe.usage.prompt_tokens;
}
const after = await settle();
const probes = n * (prompt * price.prompt_units + price.output_units);
const paid = after.spent - before.spent - probes;
const whole = n * (prompt * price.prompt_units + 400 * price.output_units);
console.log(`${n} clients hung up after 2 pieces: ${paid} units, where whole answers may cost ${whole}`);
assert.ok(paid >= 0, "nothing is taken back");
assert.ok(paid < whole / 2, "generation went on after the client had gone");
