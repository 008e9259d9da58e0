// What the tests share: the client, the model, and how answers are looked at.
//
// From the environment:
//   OPENAI_BASE_URL   of the gateway, with /v1 at its end
//   OPENAI_API_KEY    a key of a tab that offers at least one model
//   OPENAI_MODEL      which one; without it the first of the list
//   CANTUS_PARROT     set by the Go test: the network is the one of package openaitest,
//                     whose other keys are refused in ways that a good key never is

import OpenAI from "openai";

for (const name of ["OPENAI_BASE_URL", "OPENAI_API_KEY"]) {
  if (!process.env[name]) {
    console.error(`${name} is not set: see the head of client.mjs for what these tests need`);
    process.exit(2);
  }
}

export const baseURL = process.env.OPENAI_BASE_URL;
export const parrot = Boolean(process.env.CANTUS_PARROT);
export const client = new OpenAI({ maxRetries: 0 });
export const withKey = (apiKey, options = {}) => new OpenAI({ apiKey, maxRetries: 0, ...options });

const list = [];
for await (const m of client.models.list()) list.push(m);
export const models = list;
export const model = process.env.OPENAI_MODEL || list[0]?.id;
if (!model) {
  console.error("the key has no model");
  process.exit(2);
}

export const messages = [{ role: "user", content: "Tell me about a wren in the rain." }];

// gather puts a stream of chat chunks together and checks their shape.
export async function gather(assert, stream) {
  const out = { texts: [], finish: [], proofs: [], chunks: [], usage: null, logprobs: [] };
  for await (const chunk of stream) {
    out.chunks.push(chunk);
    assert.equal(chunk.object, "chat.completion.chunk");
    if (chunk.usage) out.usage = chunk.usage;
    for (const c of chunk.choices) {
      if (out.texts[c.index] === undefined) {
        assert.equal(c.delta.role, "assistant", "the first chunk of a choice has its role");
        out.texts[c.index] = "";
      }
      assert.ok(!out.finish[c.index], "nothing follows the last chunk of a choice");
      out.texts[c.index] += c.delta.content ?? "";
      if (c.logprobs) out.logprobs.push(...c.logprobs.content);
      if (c.finish_reason) {
        out.finish[c.index] = c.finish_reason;
        out.proofs[c.index] = chunk.cantus;
      }
    }
  }
  return out;
}

// proved checks that a proof has what `cantus verify` needs.
export function proved(assert, proof) {
  assert.ok(proof, "every answer has its proof");
  for (const k of ["receipt", "task", "result"]) assert.ok(Buffer.from(proof[k], "base64").length > 0, k);
  assert.match(proof.model, /^[0-9a-f]{64}$/);
  assert.ok(proof.units > 0);
}
