// Measures llama.cpp through node-llama-cpp: node llama.mjs MODEL THREADS PROMPT TOKENS STREAMS
// Prints one line of JSON.
import {getLlama, LlamaLogLevel} from "node-llama-cpp";
import {readFileSync} from "node:fs";

const [path, threads, prompt, tokens, streams] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: threads});
const model = await llama.loadModel({modelPath: path, gpuLayers: 0, useMmap: true});
const context = await model.createContext({contextSize: 1024, batchSize: 512, threads: {ideal: threads, min: threads}, sequences: Math.max(1, streams), flashAttention: true});
const ids = (n, salt) => Array.from({length: n}, (_, i) => 300 + ((i * 7919 + salt * 104729) % 31000));
const seconds = async (f) => {
  const t = performance.now();
  await f();
  return (performance.now() - t) / 1000;
};
// As many tokens one after another as asked for, whatever they are.
const generate = async (sequence, n, salt) => {
  let made = 0;
  for await (const _ of sequence.evaluate(ids(4, salt), {temperature: 0, yieldEogToken: true}))
    if (++made === n) break;
};
const sequences = Array.from({length: Math.max(1, streams)}, () => context.getSequence());
const [first] = sequences;
await first.evaluateWithoutGeneratingNewTokens(ids(prompt, 1)); // what is done once
await first.clearHistory();
const prefill = await seconds(() => first.evaluateWithoutGeneratingNewTokens(ids(prompt, 2)));
await first.clearHistory();
await generate(first, 4, 3);
await first.clearHistory();
const one = await seconds(() => generate(first, tokens, 4));
let many = 0;
if (streams > 1) {
  for (const s of sequences) await s.clearHistory();
  many = await seconds(() => Promise.all(sequences.map((s, i) => generate(s, tokens, 5 + i))));
}
const resident = Number(/VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]) * 1024;
console.log(JSON.stringify({
  engine: "llama.cpp", prompt: prompt / prefill, generate: tokens / one,
  streams: streams > 1 ? streams * tokens / many : 0, memory: resident, release: llama.llamaCppRelease?.release ?? "",
}));
await llama.dispose();
process.exit(0);
