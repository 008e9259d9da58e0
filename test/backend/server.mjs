// An OpenAI-compatible server over llama.cpp, as much of one as an audit needs:
//
//   node server.mjs MODEL.gguf [--threads N] [--batch N] [--flash] [--cache F16|F32] [--name NAME] [--no-echo]
//
// It prints "listening on http://127.0.0.1:PORT" and serves GET /v1/models and POST
// /v1/completions: prompts as lists of tokens, greedy, with logprobs, stream and echo. Tokens
// are named "token_id:17". One request at a time; a client that hangs up ends its request.
import {createServer} from "node:http";
import {parseArgs} from "node:util";
import {getLlama, LlamaLogLevel} from "node-llama-cpp";

const {values: options, positionals: [path]} = parseArgs({allowPositionals: true, options: {
  threads: {type: "string", default: "1"}, batch: {type: "string", default: "512"}, context: {type: "string", default: "512"},
  flash: {type: "boolean", default: false}, cache: {type: "string", default: "F16"}, name: {type: "string", default: "model"},
  "no-echo": {type: "boolean", default: false}, port: {type: "string", default: "0"},
}});
const threads = Number(options.threads);
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: threads});
const model = await llama.loadModel({modelPath: path, gpuLayers: 0, useMmap: true});
const context = await model.createContext({
  contextSize: Number(options.context), batchSize: Number(options.batch), threads: {ideal: threads, min: threads}, flashAttention: options.flash,
  experimentalKvCacheKeyType: options.cache, experimentalKvCacheValueType: options.cache,
});
const sequence = context.getSequence();

// place is the likeliest n tokens from what llama.cpp gives: raw logits and the sum of e^(logit - highest).
const place = (next, n) => {
  let top = -Infinity;
  for (const v of next.logits.values()) top = Math.max(top, v);
  const log = top + Math.log(next.totalLogitWeight);
  return [...next.logits].sort((a, b) => b[1] - a[1] || a[0] - b[0]).slice(0, n).map(([id, v]) => [id, v - log]);
};
const wanted = (n) => ({generateNext: {logits: {filter: {tokens: [], includeTop: n}}, totalLogitWeight: true}});

// evaluate computes tokens and gives a place after each one from the index from on.
const evaluate = async (tokens, from, n) => {
  const out = await sequence.controlledEvaluate(tokens.map((id, i) => i >= from ? [id, wanted(n)] : id));
  return out.slice(from).map((o) => place(o.next, n));
};
// begin computes a prompt but for what the sequence has of it, and gives the place after it.
const begin = async (tokens, n) => {
  const have = sequence.contextTokens;
  let same = 0;
  while (same < have.length && same < tokens.length - 1 && have[same] === tokens[same]) same++;
  if (same < have.length) await sequence.eraseContextTokenRanges([{start: same, end: have.length}]);
  const rest = tokens.slice(same);
  return (await evaluate(rest, rest.length - 1, n))[0];
};

const named = (id) => `token_id:${id}`;
const logs = (tokens, places) => ({
  tokens: tokens.map(named), text_offset: tokens.map(() => 0),
  token_logprobs: tokens.map((id, i) => places[i]?.find(([t]) => t === id)?.[1] ?? null),
  top_logprobs: places.map((p) => p && Object.fromEntries(p.map(([id, v]) => [named(id), v]))),
});
class Refused extends Error {}

async function complete(q, response, gone) {
  const vocab = model.fileInfo.metadata.tokenizer.ggml.tokens.length;
  if (!Array.isArray(q.prompt) || q.prompt.length === 0 || !q.prompt.every((t) => Number.isInteger(t) && t >= 0 && t < vocab))
    throw new Refused("prompt: want a list of tokens");
  const n = q.logprobs ?? 0, most = q.max_tokens ?? 16;
  if (!(n >= 1 && n <= 64)) throw new Refused("logprobs: want 1 to 64");
  if (q.temperature !== 0) throw new Refused("temperature: this server is greedy: want 0");
  if (q.prompt.length + most > context.contextSize) throw new Refused(`the context has ${context.contextSize} tokens`);
  if (q.echo && options["no-echo"]) throw new Refused("echo: not supported");
  const tokens = [], places = [];
  let next;
  if (q.echo) {
    if (sequence.contextTokens.length > 0) await sequence.clearHistory();
    const all = await evaluate(q.prompt, 0, n);
    next = all.pop();
    tokens.push(...q.prompt);
    places.push(null, ...all);
  } else {
    next = await begin(q.prompt, n);
  }
  const event = (choice) => response.write(`data: ${JSON.stringify({object: "text_completion", model: options.name, choices: [{index: 0, text: "", finish_reason: null, logprobs: null, ...choice}]})}\n\n`);
  if (q.stream) response.writeHead(200, {"content-type": "text/event-stream"});
  let finish = "length";
  for (let i = 0; i < most && !gone(); i++) {
    const id = next[0][0];
    if (q.stream) event({logprobs: logs([id], [next])});
    tokens.push(id);
    places.push(next);
    if (model.isEogToken(id) && !q.ignore_eos) {
      finish = "stop";
      break;
    }
    if (i + 1 < most) [next] = await evaluate([id], 0, n);
  }
  if (gone()) return;
  if (q.stream) {
    event({finish_reason: finish});
    response.end("data: [DONE]\n\n");
    return;
  }
  response.writeHead(200, {"content-type": "application/json"});
  response.end(JSON.stringify({object: "text_completion", model: options.name, choices: [{index: 0, text: "", finish_reason: finish, logprobs: logs(tokens, places)}]}));
}

let turn = Promise.resolve();
createServer((request, response) => {
  const fail = (status, message) => {
    if (response.headersSent) return response.destroy();
    response.writeHead(status, {"content-type": "application/json"});
    response.end(JSON.stringify({error: {message, type: "invalid_request_error", code: null}}));
  };
  if (request.method === "GET" && request.url === "/v1/models") {
    response.writeHead(200, {"content-type": "application/json"});
    response.end(JSON.stringify({object: "list", data: [{id: options.name, object: "model", owned_by: "test"}]}));
    return;
  }
  if (request.method !== "POST" || request.url !== "/v1/completions") return fail(404, "no such route");
  let body = "";
  request.setEncoding("utf8");
  request.on("data", (part) => { if ((body += part).length > 1 << 22) request.destroy(); });
  request.on("end", () => {
    turn = turn.then(async () => {
      try {
        if (!response.destroyed) await complete(JSON.parse(body), response, () => response.destroyed);
      } catch (err) {
        fail(err instanceof Refused || err instanceof SyntaxError ? 400 : 500, err.message);
      }
    });
  });
}).listen(Number(options.port), "127.0.0.1", function () {
  console.log(`listening on http://127.0.0.1:${this.address().port}`);
});
// Whoever started it holds its standard input open.
process.stdin.on("end", () => process.exit(0)).resume();
