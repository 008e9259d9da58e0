// OpenAI's own client, unchanged, against a gateway. See client.mjs for what it needs.

import assert from "node:assert/strict";
import test from "node:test";
import OpenAI from "openai";
import { baseURL, client, gather, messages, model, models, parrot, proved, withKey } from "./client.mjs";

const chat = (params, options) => client.chat.completions.create({ model, messages, max_tokens: 24, ...params }, options);

test("models", async () => {
  assert.ok(models.length > 0);
  for (const m of models) {
    assert.equal(m.object, "model");
    assert.ok(Number.isInteger(m.created));
    assert.equal((await client.models.retrieve(m.id)).id, m.id);
    assert.equal((await client.models.retrieve(m.cantus.root)).id, m.id, "a root names a model too");
  }
  await assert.rejects(client.models.retrieve("no/such-model"), (e) => e instanceof OpenAI.NotFoundError && e.code === "model_not_found");
});

test("chat", async () => {
  const { data, response, request_id } = await chat({}).withResponse();
  assert.match(data.id, /^chatcmpl-/);
  assert.equal(data.object, "chat.completion");
  assert.equal(data.model, model);
  assert.match(data.system_fingerprint, /^fp_/);
  assert.equal(data.choices.length, 1);
  assert.equal(data.choices[0].message.role, "assistant");
  assert.ok(data.choices[0].message.content.length > 0);
  assert.ok(["stop", "length"].includes(data.choices[0].finish_reason));
  assert.ok(data.usage.completion_tokens > 0 && data.usage.completion_tokens <= 24);
  assert.equal(data.usage.total_tokens, data.usage.prompt_tokens + data.usage.completion_tokens);
  proved(assert, data.cantus);
  assert.equal(response.headers.get("cantus-receipt"), Buffer.from(data.cantus.receipt, "base64").toString("base64url"));
  assert.match(request_id, /^req_/);
});

test("roles and parts", async () => {
  const r = await chat({
    max_tokens: 4,
    messages: [
      { role: "developer", content: "Be short." },
      { role: "user", content: [{ type: "text", text: "One." }, { type: "text", text: "Two." }] },
      { role: "assistant", content: "Yes." },
      { role: "user", content: "Three.", name: "ann" },
    ],
  });
  assert.equal(r.choices.length, 1);
});

test("streaming", async () => {
  const out = await gather(assert, await chat({ stream: true, seed: 5 }));
  assert.ok(out.texts[0].length > 0);
  assert.ok(["stop", "length"].includes(out.finish[0]));
  assert.equal(out.usage, null, "nobody asked for it");
  proved(assert, out.proofs[0]);
  const whole = await chat({ seed: 5 });
  assert.equal(whole.choices[0].message.content, out.texts[0], "a seed has one answer, streamed or not");
});

test("streaming with usage", async () => {
  const out = await gather(assert, await chat({ stream: true, stream_options: { include_usage: true }, max_tokens: 5 }));
  const last = out.chunks.at(-1);
  assert.deepEqual(last.choices, []);
  assert.ok(last.usage.completion_tokens > 0 && last.usage.completion_tokens <= 5);
  for (const c of out.chunks.slice(0, -1)) assert.equal(c.usage, null);
});

test("the client's own helper for streams", async () => {
  const stream = client.chat.completions.stream({ model, messages, max_tokens: 12, seed: 9 });
  let text = "";
  stream.on("content", (delta) => (text += delta));
  const final = await stream.finalChatCompletion();
  assert.equal(final.choices[0].message.content, text);
});

test("log probabilities", async () => {
  const params = { logprobs: true, top_logprobs: 3, max_tokens: 6, temperature: 0 };
  const r = await chat(params);
  const list = r.choices[0].logprobs.content;
  assert.ok(list.length > 0 && list.length <= 6);
  for (const e of list) {
    assert.ok(e.logprob <= 0);
    assert.equal(e.top_logprobs.length, 3);
    assert.ok(e.top_logprobs[0].logprob >= e.top_logprobs[2].logprob);
    assert.ok(e.bytes === null || Array.isArray(e.bytes));
  }
  const bytes = Buffer.from(list.flatMap((e) => e.bytes ?? []));
  assert.equal(bytes.toString("utf8").trimStart(), r.choices[0].message.content.trimStart());
  const out = await gather(assert, await chat({ ...params, stream: true }));
  assert.deepEqual(out.logprobs, list, "streamed or not");
});

test("several choices", async () => {
  const r = await chat({ n: 3, seed: 11, temperature: 1.2 });
  assert.deepEqual(r.choices.map((c) => c.index), [0, 1, 2]);
  assert.equal(r.cantus.length, 3);
  r.cantus.forEach((p) => proved(assert, p));
  const out = await gather(assert, await chat({ n: 3, seed: 11, temperature: 1.2, stream: true }));
  assert.deepEqual(out.texts, r.choices.map((c) => c.message.content));
  out.proofs.forEach((p) => proved(assert, p));
});

test("seeds", async () => {
  const text = async (params) => (await chat({ max_tokens: 32, temperature: 1.5, ...params })).choices[0].message.content;
  const [a, b, c] = [await text({ seed: 1 }), await text({ seed: 1 }), await text({ seed: 2 })];
  assert.equal(a, b);
  assert.notEqual(a, c);
  const [g, h] = [await text({ temperature: 0, seed: 1 }), await text({ temperature: 0, seed: 2 })];
  assert.equal(g, h, "without temperature nothing is drawn");
});

test("stop strings", async () => {
  const params = { temperature: 0, max_tokens: 32 };
  const whole = (await chat(params)).choices[0].message.content;
  // Any place in the middle, on no token's border in particular.
  const chars = [...whole];
  for (const [from, to] of [[3, 5], [5, 6], [6, 11]]) {
    const stop = chars.slice(from, to).join("");
    if (!stop.trim()) continue;
    const r = await chat({ ...params, stop });
    assert.equal(r.choices[0].message.content, whole.slice(0, whole.indexOf(stop)), JSON.stringify(stop));
    assert.equal(r.choices[0].finish_reason, "stop");
    const out = await gather(assert, await chat({ ...params, stop: [stop, "\u0000"], stream: true }));
    assert.equal(out.texts[0], r.choices[0].message.content);
    proved(assert, out.proofs[0]);
  }
});

test("completions", async () => {
  const params = { model, prompt: "Once upon a time", max_tokens: 12, temperature: 0 };
  const r = await client.completions.create({ ...params, logprobs: 2 });
  assert.equal(r.object, "text_completion");
  const l = r.choices[0].logprobs;
  assert.equal(l.tokens.length, l.token_logprobs.length);
  assert.equal(l.tokens.length, l.text_offset.length);
  proved(assert, r.cantus);
  const echo = await client.completions.create({ ...params, echo: true });
  assert.equal(echo.choices[0].text, params.prompt + r.choices[0].text);
  let text = "";
  for await (const c of await client.completions.create({ ...params, stream: true })) text += c.choices[0]?.text ?? "";
  assert.equal(text, r.choices[0].text);
  const two = await client.completions.create({ ...params, prompt: ["Once", "Twice"], n: 2 });
  assert.deepEqual(two.choices.map((c) => c.index), [0, 1, 2, 3]);
  assert.equal(two.choices[0].text, two.choices[1].text, "without temperature choices are equal");
});

test("embeddings", async (t) => {
  let r;
  try {
    r = await client.embeddings.create({ model, input: ["a wren", "a stone"] }); // base64 on the wire
  } catch (e) {
    if (e.status === 501) return t.skip("this network has no embeddings");
    throw e;
  }
  assert.equal(r.data.length, 2);
  const norm = Math.hypot(...r.data[0].embedding);
  assert.ok(Math.abs(norm - 1) < 1e-3, `length ${norm}`);
  const plain = await client.embeddings.create({ model, input: "a wren", encoding_format: "float" });
  assert.deepEqual(new Float32Array(plain.data[0].embedding), new Float32Array(r.data[0].embedding));
});

test("errors", async () => {
  const bad = (params, kind, code, param) =>
    assert.rejects(chat(params), (e) => {
      assert.ok(e instanceof kind, `${e.constructor.name}: ${e.message}`);
      assert.equal(e.code, code);
      if (param) assert.equal(e.param, param);
      return true;
    });
  await bad({ temperature: 3 }, OpenAI.BadRequestError, "decimal_above_max_value", "temperature");
  await bad({ max_tokens: -1 }, OpenAI.BadRequestError, "integer_below_min_value", "max_tokens");
  await bad({ max_tokens: 2 ** 30 }, OpenAI.BadRequestError, "context_length_exceeded");
  await bad({ messages: [] }, OpenAI.BadRequestError, "empty_array", "messages");
  await bad({ frequency_penalty: 1 }, OpenAI.BadRequestError, "unsupported_parameter", "frequency_penalty");
  await bad({ response_format: { type: "json_object" } }, OpenAI.BadRequestError, "unsupported_value", "response_format");
  await bad({ tools: [{ type: "function", function: { name: "f", parameters: {} } }] }, OpenAI.BadRequestError, "unsupported_parameter", "tools");
  await bad({ model: "no-such-model" }, OpenAI.NotFoundError, "model_not_found", "model");
  await bad({ messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "data:," } }] }] }, OpenAI.BadRequestError, "unsupported_value");
  await assert.rejects(withKey("ck-wrong").models.list(), (e) => e instanceof OpenAI.AuthenticationError && e.status === 401);
  const r = await fetch(`${baseURL}/chat/completions`, { method: "POST", headers: { authorization: `Bearer ${process.env.OPENAI_API_KEY}` }, body: "{" });
  assert.equal(r.status, 400);
  assert.equal((await r.json()).error.type, "invalid_request_error");
});

test("going away", async () => {
  const stop = new AbortController();
  const stream = await chat({ stream: true, max_tokens: 400, temperature: 2, seed: 9 }, { signal: stop.signal });
  // Not to the end of what is left: where the body was all there already, Node's fetch never
  // settles after an abort.
  let n = 0;
  for await (const _ of stream) {
    if (++n < 3) continue;
    stop.abort();
    break;
  }
  assert.equal(n, 3);
  const late = new AbortController();
  const aborted = chat({ max_tokens: 400, temperature: 2, n: 4 }, { signal: late.signal });
  setTimeout(() => late.abort(), 3);
  await assert.rejects(aborted, OpenAI.APIUserAbortError);
  assert.ok((await chat({ max_tokens: 2 })).choices.length, "and the gateway goes on");
});

test("many at a time", async () => {
  const all = await Promise.all(Array.from({ length: 16 }, (_, i) => chat({ seed: i, max_tokens: 6 })));
  for (const r of all) proved(assert, r.cantus);
});

test("refusals and retries", { skip: !parrot && "needs the keys of package openaitest" }, async () => {
  const ask = (key, options, params) => withKey(key, options).chat.completions.create({ model, messages, max_tokens: 4, ...params });
  await assert.rejects(ask("ck-poor", { maxRetries: 5 }), (e) => e instanceof OpenAI.RateLimitError && e.code === "insufficient_quota");
  await assert.rejects(ask("ck-alone"), (e) => e instanceof OpenAI.InternalServerError && e.status === 503 && e.headers.get("retry-after") === "10");
  const began = Date.now();
  assert.ok((await ask("ck-hasty", { maxRetries: 1 })).choices.length, "the client waits as it is told, and asks again");
  assert.ok(Date.now() - began >= 900);
  await assert.rejects(async () => {
    for await (const _ of await ask("ck-cut", {}, { stream: true, max_tokens: 50 }));
  }, (e) => e instanceof OpenAI.APIError && e.code === "broken_off");
});
