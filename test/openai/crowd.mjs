// More requests at once than anybody can answer: node crowd.mjs N. Each is answered, with a
// receipt, or refused in OpenAI's shape with a time to come back; none hangs.

import assert from "node:assert/strict";
import OpenAI from "openai";
import { messages, model } from "./client.mjs";

const n = Number(process.argv[2] ?? 1200);
const client = new OpenAI({ maxRetries: 0, timeout: 180_000 });
const began = Date.now();
let answered = 0;
const refused = {};
await Promise.all(
  Array.from({ length: n }, async (_, i) => {
    try {
      const r = await client.chat.completions.create({ model, messages, seed: i + 1, max_tokens: 8 });
      assert.ok(r.cantus.receipt, "an answer without a receipt");
      answered++;
    } catch (e) {
      if (!(e instanceof OpenAI.APIError) || e instanceof OpenAI.APIConnectionError) throw e;
      assert.ok([429, 503].includes(e.status), `status ${e.status}: ${e.message}`);
      assert.ok(e.error?.message && e.type, `not OpenAI's shape: ${JSON.stringify(e.error)}`);
      refused[e.code ?? e.status] = (refused[e.code ?? e.status] ?? 0) + 1;
    }
  }),
);
console.log(`${n} at once: ${answered} answered, refused ${JSON.stringify(refused)}, ${((Date.now() - began) / 1000).toFixed(1)} s`);
assert.ok(answered > 0, "nobody was answered");
const last = await client.chat.completions.create({ model, messages, max_tokens: 4 });
assert.ok(last.cantus.receipt, "the gateway does not answer any more");
