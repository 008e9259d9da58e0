// Sends thousands of mixed requests, and all that can be done to them, to the ledger's
// precompiled contract: from several accounts at once, each through a validator of its own.
//
// From the environment:
//   RPCS      JSON-RPC of the validators, with spaces between
//   REST      REST of one of them
//   KEYS      hexadecimal secp256k1 keys of accounts with notes, with spaces between
//   MODEL     what contracts call the model by
//   GATEWAY   address of the gateway that answers
//   REQUESTS  how many requests at least (2000)
//   LEISURE   seconds for the first few requests alone (90), 0 for none of these
//   PATIENCE  seconds to wait afterwards for requests that are open (240)
//   ENDED     with any value: fails where a request is not over then, or not as it may be
//   SEED      of the order of things
//   OUT       file for the figures

import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Interface, JsonRpcProvider, Network, Wallet, getCreateAddress, hexlify, parseEther, toBeHex, toQuantity, toUtf8Bytes } from "ethers";
import { compiledOf } from "./compile.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const env = (name, otherwise) => process.env[name] || otherwise;
const CANTUS = "0x0000000000000000000000000000000000000c00";
const target = Number(env("REQUESTS", "2000"));
const patience = Number(env("PATIENCE", "240"));
const model = process.env.MODEL;

// The hostile contract as the ledger's own tests have it.
const hostile = JSON.parse(readFileSync(join(here, "../../ledger/precompiles/cantus/testdata/Hostile.json"), "utf8"));
const { Storm: storm, ICantus: cantus } = compiledOf("test/contracts/Storm.sol");
const iHostile = new Interface(hostile.abi), iStorm = new Interface(storm.abi), iCantus = new Interface(cantus.abi);

// A small generator, so that a seed gives the same order of things again.
let state = Number(env("SEED", String(Date.now() % 1e9))) >>> 0;
console.log(`seed ${state}`);
function below(n) {
  state = (state + 0x6d2b79f5) >>> 0;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return ((t ^ (t >>> 14)) >>> 0) % n;
}
const one = (list) => list[below(list.length)];

const urls = process.env.RPCS.split(" ");
const chainId = Number(await (await fetch(urls[0], {
  method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_chainId", params: [] }),
})).json().then((r) => r.result));
const net = Network.from(chainId);
const providers = urls.map((u) => new JsonRpcProvider(u, net, { staticNetwork: net, batchMaxCount: 1, cacheTimeout: -1 }));
const reader = providers[0];

// A busy node may take longer than it allows itself, and serves a block before its index:
// what only reads is asked again.
for (const p of providers) {
  const send = p.send.bind(p);
  p.send = async (method, params) => {
    for (let tries = 1; ; tries++) {
      try {
        return await send(method, params);
      } catch (err) {
        if (tries === 40 || err?.error?.code === -32602 || err?.error?.code === 3 || method === "eth_sendRawTransaction" || err.code === "CALL_EXCEPTION") throw err;
        await sleep(500);
      }
    }
  };
}
const gasPrice = BigInt(await reader.send("eth_gasPrice", [])) * 5n;

// ---- what happened

const sent = {}; // by action: [sent, reverted]
const lost = {}; // by action: transactions without a receipt
let transactions = 0, reverted = 0, refused = 0, gasUsed = 0n, made = 0;
const asked = []; // { id, payer, account } of every request
const evidence = []; // of deliveries by the gateway
let ended = 0; // newest request known to be over

class Account {
  constructor(key, i) {
    this.provider = providers[i % providers.length];
    this.wallet = new Wallet(key, this.provider);
    this.nonce = undefined;
  }

  // send signs with gas that is said, so that nothing is estimated, and does not wait.
  async send(what, to, data, { value = 0n, gas = 1_000_000n } = {}) {
    this.nonce ??= await this.provider.getTransactionCount(this.wallet.address, "latest");
    const nonce = this.nonce;
    const raw = await this.wallet.signTransaction({
      type: 2, chainId, nonce, to, data, value, gasLimit: gas, maxFeePerGas: gasPrice, maxPriorityFeePerGas: 0n,
    });
    const hash = await this.provider.send("eth_sendRawTransaction", [raw]);
    this.nonce = nonce + 1;
    return { what, hash, nonce };
  }

  async mined({ what, hash, nonce }) {
    const begun = Date.now();
    for (;;) {
      const r = await this.provider.send("eth_getTransactionReceipt", [hash]);
      if (r) {
        transactions++;
        gasUsed += BigInt(r.gasUsed);
        const s = (sent[what] ??= [0, 0]);
        s[0]++;
        if (r.status !== "0x1") {
          s[1]++;
          reverted++;
        }
        for (const l of r.logs.filter((l) => l.address.toLowerCase() === CANTUS)) {
          const e = iCantus.parseLog(l);
          if (e?.name !== "Requested") continue;
          made++;
          asked.push({ id: e.args.id, payer: e.args.payer.toLowerCase(), account: this });
        }
        return r;
      }
      // A transaction whose state cannot be written has no receipt, nor has one that a block
      // had before the one of the same account that should have come first.
      const waited = Date.now() - begun;
      if (waited > 8_000 && (waited > 60_000 || (await this.provider.getTransactionCount(this.wallet.address, "latest")) > nonce)) {
        const latest = await this.provider.getTransactionCount(this.wallet.address, "latest");
        (lost[what] ??= []).push(hash);
        if (latest <= nonce) console.error(`${what}: ${hash} with nonce ${nonce} is lost; ${this.wallet.address} is at ${latest}`);
        this.nonce = undefined;
        return null;
      }
      await sleep(250);
    }
  }
}

const accounts = process.env.KEYS.split(" ").map((k, i) => new Account("0x" + k, i));

// ---- contracts

async function deploy(account, code, value) {
  const nonce = account.nonce ?? (await account.provider.getTransactionCount(account.wallet.address));
  const address = getCreateAddress({ from: account.wallet.address, nonce }).toLowerCase();
  const r = await account.mined(await account.send("deploy", null, code, { value, gas: 5_000_000n }));
  if (r?.status !== "0x1") throw new Error("a contract could not be deployed");
  return address;
}

const storms = [], hostiles = [];
await Promise.all(accounts.map(async (a) => {
  storms.push(await deploy(a, "0x" + storm.code.replace(/^0x/, ""), parseEther("200")));
  for (let i = 0; i < 2; i++) {
    const h = await deploy(a, "0x" + hostile.code.replace(/^0x/, ""), parseEther("100"));
    const r = await a.mined(await a.send("set", h, iHostile.encodeFunctionData("set", [0, model, a.wallet.address]), { gas: 300_000n }));
    if (r?.status !== "0x1") throw new Error("a contract could not be set up");
    hostiles.push(h);
  }
}));
console.log(`${storms.length} storms and ${hostiles.length} hostile contracts are deployed`);

const quotes = new Map();
async function quote(gas, policy) {
  const key = `${gas} ${policy}`;
  if (!quotes.has(key)) {
    const out = await reader.send("eth_call", [{ to: CANTUS, data: iCantus.encodeFunctionData("quote", [model, 2, 4, gas, policy]) }, "latest"]);
    quotes.set(key, BigInt(out) * 3n);
  }
  return quotes.get(key);
}

// ---- what can be done

const modes = 18;
const gases = [0n, 25_000n, 50_000n, 60_000n, 150_000n, 300_000n];
const policies = [0, 0, 1, 1, 2, 3];
const recent = () => asked.slice(Math.max(ended, asked.length - 400));
const some = () => one(recent().length ? recent() : [{ id: 1n, payer: storms[0], account: accounts[0] }]);
const onHostile = (what, method, args, gas) => async (a) => {
  const h = one(hostiles);
  return a.send(what, h, iHostile.encodeFunctionData(method, await args()), { gas });
};
const onStorm = (what, method, args, gas) => async (a) => a.send(what, one(storms), iStorm.encodeFunctionData(method, await args()), { gas });
const stormArgs = (n) => async () => {
  const gas = one(gases.slice(1)), policy = one(policies);
  return [model, n, await quote(gas, policy), gas, policy];
};
const damaged = (bytes) => {
  const b = Buffer.from(bytes.slice(2), "hex");
  b[below(b.length)] ^= 1 << below(8);
  return hexlify(b);
};

const actions = {
  storm: onStorm("storm of 20", "storm", stormArgs(20), 8_000_000n),
  askAndCancel: onStorm("10 asked and cancelled", "askAndCancel", stormArgs(10), 5_000_000n),
  cancelMany: onStorm("20 cancelled", "cancel", async () => [20], 4_000_000n),
  undone: onStorm("inner storms undone", "undone", stormArgs(5), 4_000_000n),
  hostileStorm: onHostile("hostile storm", "storm", async () => [20, await quote(50_000n, 0), 50_000n], 8_000_000n),
  tooManyCalls: onHostile("storm of 24, errors swallowed", "storming", async () => [24, await quote(50_000n, 0), 50_000n], 8_000_000n),
  ask: onHostile("hostile ask", "ask", async () => [one(gases), one([...policies, 6])], 900_000n),
  askAround: onHostile("ask, undone ask, ask", "askAround", async () => [50_000n], 1_500_000n),
  mismatch: onHostile("value mismatch", "askMismatched", async () => {
    const fee = await quote(50_000n, 0);
    return [fee, fee + one([-1n, 1n, 0n])];
  }, 600_000n),
  delegated: onHostile("delegatecall", "askDelegated", async () => [await quote(50_000n, 0)], 900_000n),
  callcode: onHostile("callcode", "askCallcode", async () => [await quote(50_000n, 0)], 900_000n),
  mayfly: onHostile("asks and dies", "mayfly", async () => [await quote(50_000n, 0)], 2_000_000n),
  shortlived: onHostile("dies while made", "shortlived", async () => [], 1_000_000n),
  give: onHostile("money for nothing", "give", async () => [below(1000)], 300_000n),
  // 12 and 15 give the contract's money away: seldom enough for the others to go on.
  set: onHostile("another callback", "set", async () => [below(modes), model, one([one(accounts).wallet.address, CANTUS, "0x" + "00".repeat(19) + "09"])], 300_000n),
  cancelHostile: async (a) => {
    const r = one(recent().filter((x) => hostiles.includes(x.payer)).concat([some()]));
    return a.send("hostile cancel", hostiles.includes(r.payer) ? r.payer : one(hostiles), iHostile.encodeFunctionData("cancel", [r.id]), { gas: 600_000n });
  },
  request: async (a) => {
    const gas = one(gases), policy = one([...policies, 4, 6]), value = await quote(gas, Math.min(policy, 3));
    const args = [model, toUtf8Bytes("What is a " + one(["violin", "oak", "hammer", "lantern"]) + "?"), [4 + below(12), 0, 0, 0, below(9)], value * 8n, gas === 0n ? "0x" + "00".repeat(20) : one([...hostiles, ...storms]), gas, policy];
    return a.send("request of an account", CANTUS, iCantus.encodeFunctionData("request", args), { value: one([value * 8n, value * 8n, value * 8n, value]), gas: 900_000n });
  },
  cancelOwn: async (a) => {
    const own = recent().filter((x) => x.payer === a.wallet.address.toLowerCase());
    return a.send("cancel of an account", CANTUS, iCantus.encodeFunctionData("cancel", [(own.length ? one(own) : some()).id]), { gas: 500_000n });
  },
  garbage: async (a) => a.send("garbage delivered", CANTUS, iCantus.encodeFunctionData("deliver", [some().id, toUtf8Bytes("answer " + below(1e6))]), { gas: 700_000n }),
  replay: async (a) => {
    const e = evidence.length ? one(evidence) : toBeHex(below(1e9));
    return a.send("another one's evidence", CANTUS, iCantus.encodeFunctionData("deliver", [some().id, one([e, damaged(e)])]), { gas: 2_000_000n });
  },
  conclude: async (a) => a.send("conclude", CANTUS, iCantus.encodeFunctionData("conclude", [some().id]), { gas: 900_000n }),
};

// A deck makes about 280 requests.
const deck = {
  storm: 4, cancelMany: 6, askAndCancel: 14, undone: 3, hostileStorm: 1, tooManyCalls: 1, ask: 6, askAround: 2, mismatch: 3, delegated: 1, callcode: 1,
  mayfly: 1, shortlived: 1, give: 1, set: 5, cancelHostile: 10, request: 8, cancelOwn: 3, garbage: 6, replay: 8, conclude: 6,
};

let hand = [];
function draw() {
  if (hand.length === 0) {
    for (const [name, n] of Object.entries(deck)) for (let i = 0; i < n; i++) hand.push(name);
    for (let i = hand.length - 1; i > 0; i--) {
      const j = below(i + 1);
      [hand[i], hand[j]] = [hand[j], hand[i]];
    }
  }
  return hand.pop();
}

const logsOf = (event, from, to) =>
  reader.send("eth_getLogs", [{ address: CANTUS, topics: [iCantus.getEvent(event).topicHash], fromBlock: toQuantity(from), toBlock: toQuantity(to) }]);

// Looks on at the gateway's deliveries, for evidence to deliver again where it does not belong.
let over = false;
let seen = Number(await reader.send("eth_blockNumber", []));
async function watch() {
  while (!over) {
    await sleep(1500);
    try {
      const now = Number(await reader.send("eth_blockNumber", []));
      if (now <= seen) continue;
      const logs = await logsOf("Answered", seen + 1, now);
      seen = now;
      for (const l of logs.slice(0, 5)) {
        const tx = await reader.send("eth_getTransactionByHash", [l.transactionHash]);
        evidence.push(iCantus.decodeFunctionData("deliver", tx.input).evidence);
      }
    } catch (err) {
      console.error(`watching: ${String(err?.error?.message ?? err.message).slice(0, 200)}`);
    }
  }
}

const begun = Date.now();

const watching = watch();

// First a few at leisure, under every policy and with all that a callback can do: they are
// answered whatever the gateway can make of the storms.
async function leisure(a, i) {
  for (const n of [0, 1]) {
    const mode = ((i * 2 + n) * 5) % modes;
    await a.mined(await a.send("another callback", hostiles[i * 2 + n], iHostile.encodeFunctionData("set", [mode, model, accounts[0].wallet.address]), { gas: 300_000n }));
    for (const policy of [0, 1, 2]) {
      await a.mined(await a.send("hostile ask", hostiles[i * 2 + n], iHostile.encodeFunctionData("ask", [300_000n, policy]), { gas: 900_000n }));
    }
  }
  await a.mined(await actions.request(a));
}
const leisurely = Number(env("LEISURE", "90"));
let atLeisure = [];
if (leisurely > 0) {
  await Promise.all(accounts.map(leisure));
  atLeisure = asked.map(({ id }) => id);
  console.log(`${made} requests at leisure`);
  for (let left = await open(); left > 0 && Date.now() - begun < leisurely * 1000; left = await open()) await sleep(1000);
  console.log(`${Math.round((Date.now() - begun) / 1000)} s: ${await open()} of them are not over, ${evidence.length} deliveries were seen`);
}

let told = 0;
async function play(a) {
  while (made < target) {
    if (refused > 200) throw new Error(`${refused} transactions could not be made or were not taken`);
    const waiting = [];
    for (let i = 0; i < 4; i++) {
      try {
        waiting.push(await actions[draw()](a));
      } catch (err) {
        refused++;
        if (refused < 6) console.error(`refused: ${String(err?.error?.message ?? err.message).slice(0, 200)}`);
        a.nonce = undefined;
        break;
      }
    }
    for (const w of waiting) await a.mined(w);
    if (waiting.length === 0) await sleep(500);
    if (made - told >= 250) {
      told = made;
      console.log(`${Math.round((Date.now() - begun) / 1000)} s: ${made} requests, ${transactions} transactions, ${reverted} of them failed`);
    }
  }
}

await Promise.all(accounts.map(play));
const sending = (Date.now() - begun) / 1000;
console.log(`${made} requests in ${Math.round(sending)} s; ${transactions} transactions, ${reverted} failed, ${refused} not taken, ${Object.values(lost).flat().length} without a receipt`);

// ---- what becomes of them

async function openIDs() {
  const r = await (await fetch(`${process.env.REST}/cantus/requests/v1/requests?gateway=${process.env.GATEWAY}&pagination.limit=1000`)).json();
  return r.requests.map(({ id }) => BigInt(id));
}
async function open() {
  return (await openIDs()).length;
}
// Who waits may end what has come to nothing: the gateway, with one transaction a block, would
// take as many blocks for that as there are.
async function conclude(list) {
  const shares = accounts.map((_, i) => list.filter((_, j) => j % accounts.length === i));
  await Promise.all(accounts.map(async (a, i) => {
    const sent = [];
    for (const id of shares[i]) {
      const data = iCantus.encodeFunctionData("conclude", [id]);
      try {
        await a.provider.send("eth_call", [{ from: a.wallet.address, to: CANTUS, data }, "latest"]);
      } catch {
        continue; // it may still be answered
      }
      try {
        sent.push(await a.send("conclude in the end", CANTUS, data, { gas: 900_000n }));
      } catch {
        a.nonce = undefined;
        break; // as many as a node takes of an account at once: the next time
      }
      if (sent.length === 16) break;
    }
    for (const w of sent) await a.mined(w);
  }));
}

let left = await openIDs();
for (let last = Date.now(); left.length > 0 && Date.now() - begun < (sending + patience) * 1000; left = await openIDs()) {
  if (Date.now() - last > 20_000) {
    last = Date.now();
    console.log(`${Math.round((last - begun) / 1000)} s: ${left.length} requests are not over`);
    await conclude(left);
  }
  await sleep(2000);
}
over = true;
await watching;

const names = ["none", "open", "answered", "final", "refuted", "failed", "cancelled", "answered by digest", "final by digest"];
async function endsOf(ids) {
  const ends = {};
  for (let i = 0; i < ids.length; i += 40) {
    await Promise.all(ids.slice(i, i + 40).map(async (id) => {
      const out = await reader.send("eth_call", [{ to: CANTUS, data: iCantus.encodeFunctionData("requestOf", [id]) }, "latest"]);
      const s = names[Number(iCantus.decodeFunctionResult("requestOf", out)[0].status)];
      ends[s] = (ends[s] ?? 0) + 1;
    }));
  }
  return ends;
}
const ends = await endsOf(asked.map(({ id }) => id));
// By pages: a node answers with so many logs at once.
const calls = { well: 0, failed: 0 }, answers = [];
const last = Number(await reader.send("eth_blockNumber", []));
for (let from = 1; from <= last; from += 100) {
  const to = Math.min(last, from + 99);
  for (const l of await logsOf("Called", from, to)) calls[iCantus.parseLog(l).args.success ? "well" : "failed"]++;
  for (const l of await logsOf("Answered", from, to)) answers.push(Number(l.blockNumber));
}
const figures = {
  requests: made, ends, at_leisure: await endsOf(atLeisure), callbacks: calls, answered_in: answers, transactions, failed: reverted, refused, without_receipt: Object.fromEntries(Object.entries(lost).map(([k, v]) => [k, v.length])), gas: String(gasUsed), sending_seconds: Math.round(sending),
  seconds: Math.round((Date.now() - begun) / 1000), actions: sent,
};
writeFileSync(process.env.OUT, JSON.stringify(figures, null, 1));
console.log(JSON.stringify(figures));
for (const p of providers) p.destroy();
if (asked.length < target || (ends.none ?? 0) > 0) process.exit(1);
if (env("ENDED", "") && names.some((s) => !["final", "final by digest", "failed", "cancelled"].includes(s) && ends[s] > 0)) {
  console.error("not every request is over as it should be");
  process.exit(1);
}
