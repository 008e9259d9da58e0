// What the tests share: the network, the contract, and what must be true of every request.
//
// From the environment:
//   CANTUS              the program
//   CANTUS_HOME         the home of a running `cantus up`
//   CANTUS_PRIVATE_KEY  hexadecimal secp256k1 key of an account with some notes

import { execFileSync } from "node:child_process";
import { setTimeout as sleep } from "node:timers/promises";

export const CANTUS = "0x0000000000000000000000000000000000000c00";
export const privateKey = "0x" + process.env.CANTUS_PRIVATE_KEY.replace(/^0x/, "").padStart(64, "0");

// cantus runs the command and reads its JSON.
export const cantus = (...args) => JSON.parse(execFileSync(process.env.CANTUS, [...args, "--json"], { encoding: "utf8" }));

export const status = cantus("status");
export const rpc = status.wallet.rpcUrls[0];
export const model = cantus("model", "show", "demo").speaker;
export const offers = cantus("gateway", "offers");
export const offer = offers.find((o) => o.speaker === model);

const rest = async (path) => (await fetch(status.rest + path)).json();

export const policies = [
  { name: "safe", policy: 0 },
  { name: "optimistic", policy: 1 },
  { name: "two agree", policy: 2 },
];

export const callbackGas = 400_000n;
// A contract that keeps a page has more to write.
export const pageGas = 1_000_000n;

// question is one that no other test asks, so that nothing is right by chance.
let n = Date.now() % 1000;
const words = ["violin", "harbour", "clarinet", "oak", "sparrow", "hammer", "glacier", "lantern"];
export const question = () => `What is a ${words[n++ % words.length]}?`;
export const params = { maxTokens: 60, temperature: 0, topK: 0, topP: 0, seed: 7n };

// expected is what the network says to the same question through its other door.
export const expected = (prompt) =>
  cantus("infer", "--chat", "--temperature", "0", "--max-tokens", String(params.maxTokens), "--prompt", prompt).choices[0].message.content;

export function assert(condition, message) {
  if (!condition) throw new Error(message);
}

export function equal(got, want, what) {
  assert(got === want, `${what}: got ${got}, want ${want}`);
}

// until asks until the answer is neither null, undefined nor false.
export async function until(what, ask, seconds = 180, pause = 100) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    if (Date.now() > end) throw new Error(`${what}: nothing after ${seconds} s`);
    await sleep(pause);
  }
}

// settled waits until a request and its job are over: nothing of its money moves any more.
export const settled = (id) => until(`end of request ${id}`, () => {
  const r = cantus("request", String(id));
  return r.job_status === "closed" && !["open", "answered"].includes(r.status) ? r : null;
}, 180, 500);

// accounts holds every sum of a request against what it follows from, and says what the
// request cost its payer. There is no gasUsed where the contract was not answered.
export async function accounts(r, promptBytes, answerBytes, gasUsed, price, { terms } = offer) {
  // Workers claim their pay when they like.
  const job = await until(`claims of job ${r.job}`, () => {
    const j = cantus("job", "show", String(r.job));
    return j.balanced && j;
  }, 180, 500);
  const { params: rules } = await rest("/cantus/requests/v1/params");
  const work = ["workers", "gateway", "auditors", "royalties", "burned"].reduce((sum, part) => sum + BigInt(job[part]), 0n);
  equal(BigInt(r.escrow) - BigInt(r.job_refunded), work, "what the work cost: all that was paid out of the escrow");
  const most = BigInt(job.units) * BigInt(terms.price);
  assert((work > 0n || !answerBytes) && work <= most, `the work cost ${work}, and its units ${most} at most`);
  equal(BigInt(r.burned), BigInt(promptBytes + answerBytes) * BigInt(rules.byte_price), "what the bytes cost");
  equal(BigInt(r.delivered), answerBytes ? BigInt(terms.delivery_fee) : 0n, "what the delivery cost");
  equal(BigInt(r.gas_paid), gasUsed * price, "what the callback cost: its gas by the price of the block in which it was asked");
  equal(r.held, "0", "what the ledger still holds");
  const cost = work + BigInt(r.burned) + BigInt(r.delivered) + BigInt(r.gas_paid);
  equal(BigInt(r.fee), cost + BigInt(r.job_refunded) + BigInt(r.returned), "the fee: what it cost and what came back");
  return cost;
}

// test runs one client's checks, prints one line and makes the process fail if they did.
export async function test(name, body) {
  const start = Date.now();
  const limit = setTimeout(() => {
    console.error(`FAIL  ${name}: no end after four minutes`);
    process.exit(1);
  }, 240_000);
  try {
    const said = await body();
    console.log(`ok    ${name} (${Date.now() - start} ms)${said ? ": " + said : ""}`);
  } catch (err) {
    console.error(`FAIL  ${name}: ${err?.stack ?? err}`);
    process.exitCode = 1;
  } finally {
    clearTimeout(limit);
  }
}
