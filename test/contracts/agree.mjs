// Holds what nodes made of the same blocks against each other: the state's hash that each
// computed itself, and every transaction's outcome, gas and events. Prints figures as JSON.
//
//	node agree.mjs FROM TO RPC RPC...
//
// Blocks that a node has no outcome of, as one that joined later, are passed over for it; no
// node may have none at all.

import { createHash } from "node:crypto";

const [from, to, ...nodes] = process.argv.slice(2);
const compared = nodes.map(() => 0);
const figures = { from: Number(from), to: Number(to), transactions: 0, ethereum: 0, failed: 0, refused: 0, why: {}, gas: 0, fullest: 0, last: "" };

async function outcome(node, height) {
  const r = await (await fetch(`${node}/block_results?height=${height}`)).json();
  if (!r.result) return null;
  return { hash: r.result.app_hash, digest: createHash("sha256").update(JSON.stringify(r.result)).digest("hex"), result: r.result };
}

// Several blocks are asked for at once: a node takes a while to look one up.
const ahead = 8, asked = [];
const ask = (h) => Promise.all(nodes.map((n) => outcome(n, h)));
for (let h = Number(from); h < Number(from) + ahead && h <= Number(to); h++) asked.push(ask(h));

for (let h = Number(from); h <= Number(to); h++) {
  const all = await asked.shift();
  if (h + ahead <= Number(to)) asked.push(ask(h + ahead));
  const first = all.find((o) => o);
  if (!first) throw new Error(`nobody knows what came of block ${h}`);
  all.forEach((o, i) => {
    if (!o) return;
    compared[i]++;
    if (o.hash !== first.hash || o.digest !== first.digest) {
      console.error(`block ${h}: ${nodes[i]} computed ${o.hash} with outcomes ${o.digest}, another node ${first.hash} with ${first.digest}`);
      process.exit(1);
    }
  });
  let gas = 0;
  for (const tx of first.result.txs_results ?? []) {
    figures.transactions++;
    gas += Number(tx.gas_used);
    if (tx.code !== 0) {
      figures.refused++;
      const why = `${tx.codespace} ${tx.code}: ${tx.log.slice(0, 120)}`.replaceAll(/[0-9a-fA-Fx]{5,}|\d+/g, "…");
      figures.why[why] = (figures.why[why] ?? 0) + 1;
    }
    const events = tx.events ?? [];
    if (events.some((e) => e.type === "ethereum_tx")) figures.ethereum++;
    if (events.some((e) => e.type === "ethereum_tx" && e.attributes.some((a) => a.key === "ethereumTxFailed"))) figures.failed++;
  }
  figures.gas += gas;
  figures.fullest = Math.max(figures.fullest, gas);
  figures.last = first.hash;
}
if (compared.some((n) => n === 0)) throw new Error(`blocks compared by node: ${compared}`);
console.log(JSON.stringify({ ...figures, blocks: compared }));
