// What the tests share: where the network is, whose money they use, and how they fail.
//
// From the environment:
//   CANTUS_NETWORK      path of the network.json that `cantus up` writes, or instead
//   CANTUS_JSONRPC, CANTUS_RPC, CANTUS_REST   the endpoints one by one
//   CANTUS_PRIVATE_KEY  hexadecimal secp256k1 key of an account with a few notes

import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

function setting(name, fallback) {
  const value = process.env[name] || fallback;
  if (!value) {
    console.error(`${name} is not set: see the head of network.mjs for what these tests need`);
    process.exit(2);
  }
  return value;
}

const file = process.env.CANTUS_NETWORK ? JSON.parse(readFileSync(process.env.CANTUS_NETWORK, "utf8")) : {};

// cosmjs wants an http(s) URL where a node's own settings say tcp://.
const http = (url) => url && url.replace(/^tcp:/, "http:");

export const network = {
  jsonrpc: setting("CANTUS_JSONRPC", file.jsonrpc),
  rpc: http(setting("CANTUS_RPC", file.rpc)),
  rest: setting("CANTUS_REST", file.rest).replace(/\/$/, ""),
};

export const privateKey = "0x" + setting("CANTUS_PRIVATE_KEY").replace(/^0x/, "").padStart(64, "0");

// 0.001 note, in anote: what each client sends.
export const AMOUNT = 10n ** 15n;

export const PREFIX = "cantus";
export const DENOM = "anote";

export function assert(condition, message) {
  if (!condition) throw new Error(message);
}

export function equal(got, want, what) {
  assert(got === want, `${what}: got ${got}, want ${want}`);
}

// until asks until the answer is neither null nor undefined: a node may answer a
// question about a transaction before it has seen its block.
export async function until(what, ask, seconds = 30) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const answer = await ask();
    if (answer !== null && answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`${what}: nothing after ${seconds} s`);
    await sleep(100);
  }
}

// test runs one client's checks, prints one line and makes the process fail if they did.
// Some clients retry a dead endpoint for ever, hence the time limit.
export async function test(name, body) {
  const start = Date.now();
  const limit = setTimeout(() => {
    console.error(`FAIL  ${name}: no end after two minutes; does ${network.jsonrpc} answer?`);
    process.exit(1);
  }, 120_000);
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
