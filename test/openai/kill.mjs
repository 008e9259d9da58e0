// Streams that a worker is killed under: node kill.mjs PID. Each goes on with another worker
// from the same tokens, so what was shown stays true, and the whole is what its seed gives.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { client, gather, messages, model } from "./client.mjs";

const victim = Number(process.argv[2]);
assert.ok(victim > 1 && readFileSync(`/proc/${victim}/cmdline`, "utf8").includes("worker"), "want a worker's process");

// Hot answers go on for long.
const ask = (seed, rest) => client.chat.completions.create({ model, messages, seed, temperature: 2, max_tokens: 400, stream: true, ...rest });

const streams = await Promise.all(Array.from({ length: 24 }, (_, i) => ask(i + 1)));
let shown = 0;
let killed = false;
const watched = async function* (stream) {
  for await (const chunk of stream) {
    if (!killed && (shown += chunk.choices[0]?.delta?.content ? 1 : 0) > 60) {
      process.kill(victim, "SIGKILL");
      killed = true;
    }
    yield chunk;
  }
};
const out = await Promise.all(streams.map((s) => gather(assert, watched(s))));
assert.ok(killed, "the answers were over before the worker could be killed");
let longest = 0;
for (const [i, o] of out.entries()) {
  const again = await gather(assert, await ask(i + 1));
  assert.equal(o.texts[0], again.texts[0], `stream ${i}: not the answer of its seed`);
  assert.equal(o.proofs[0].result, again.proofs[0].result, `stream ${i}: other bits`);
  longest = Math.max(longest, o.texts[0].length);
}
const workers = new Set(out.map((o) => o.proofs[0].worker));
console.log(`${out.length} answers, killed after ${shown} chunks; all are those of their seeds; receipts of ${workers.size} workers`);
