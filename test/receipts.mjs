// What a job's receipts, vouchers and claims say together:
//
//   node test/receipts.mjs GATEWAY-URL JOB job.json VOUCHERS-DIR
//
// Reads every sealed receipt from the gateway, the ledger's account of the job from job.json
// (`cantus job show --json`), and what `cantus-worker vouchers` said of each worker from the files
// WORKER-KEY in VOUCHERS-DIR. Fails unless
//
//   - no task is in two receipts;
//   - each worker's receipts are worth exactly the units that were claimed for it;
//   - no worker holds a voucher for more: what was acknowledged to it was committed and paid.
import { readFileSync, readdirSync } from "node:fs";

const [url, job, account, vouchers] = process.argv.slice(2);
const wrong = [];

// The part of CBOR that receipts use: numbers, bytes, text, arrays.
function decode(b) {
  let at = 0;
  const item = () => {
    const first = b[at++], kind = first >> 5;
    let n = BigInt(first & 31);
    if (n >= 24n) {
      const size = { 24: 1, 25: 2, 26: 4, 27: 8 }[Number(n)];
      if (!size) throw new Error(`a CBOR head of 0x${first.toString(16)}`);
      n = 0n;
      for (let i = 0; i < size; i++) n = (n << 8n) | BigInt(b[at++]);
    }
    switch (kind) {
      case 0: return n;
      case 2: case 3: { const v = b.subarray(at, at + Number(n)); at += Number(n); return kind === 2 ? v.toString("hex") : v.toString(); }
      case 4: return Array.from({ length: Number(n) }, item);
    }
    throw new Error(`CBOR of kind ${kind}`);
  };
  const v = item();
  if (at !== b.length) throw new Error("bytes after the receipt");
  return v;
}

const tasks = new Map(), units = new Map();
let count = 0;
for (let at = { epoch: 0, index: 0 }, end = false; !end;) {
  const r = await fetch(`${url}/v1/jobs/${job}/receipts?epoch=${at.epoch}&index=${at.index}`);
  if (!r.ok) throw new Error(`${r.url}: ${r.status} ${await r.text()}`);
  const page = await r.json();
  for (const { epoch, index, receipt } of page.receipts ?? []) {
    // chain, job, task, attempt, task's digest, result, units, started, finished, worker
    const [[, , seq, , , , worth, , , worker]] = decode(Buffer.from(receipt, "base64"));
    count++;
    if (tasks.has(seq)) wrong.push(`task ${seq} is in ${tasks.get(seq)} and in epoch ${epoch}, receipt ${index}`);
    tasks.set(seq, `epoch ${epoch}, receipt ${index}`);
    units.set(worker, (units.get(worker) ?? 0n) + worth);
  }
  at = page.next;
  end = page.end;
}

const claimed = new Map((JSON.parse(readFileSync(account)).earned ?? []).map(e => [e.worker, BigInt(e.units)]));
for (const w of new Set([...units.keys(), ...claimed.keys()])) {
  if (units.get(w) !== claimed.get(w)) wrong.push(`worker ${w}: receipts worth ${units.get(w) ?? 0}, ${claimed.get(w) ?? 0} units claimed`);
}

// The listing is lines of gateway, job, epoch, units, …; newer programs have it as JSON too.
let held = 0;
for (const w of readdirSync(vouchers)) {
  for (const line of readFileSync(`${vouchers}/${w}`, "utf8").split("\n")) {
    const [, of, , worth] = line.trim().split(/\s+/);
    if (of !== String(job) || !/^[0-9]+$/.test(worth ?? "")) continue;
    held++;
    if (BigInt(worth) > (units.get(w) ?? 0n)) wrong.push(`worker ${w} holds a voucher for ${worth} units, its receipts are worth ${units.get(w) ?? 0}`);
  }
}
if (held < claimed.size) wrong.push(`${claimed.size} workers were paid, only ${held} hold a voucher of job ${job}`);

const sum = [...units.values()].reduce((a, b) => a + b, 0n);
console.log(`${count} receipts of ${tasks.size} tasks worth ${sum} units; ${held} vouchers, all covered; ${claimed.size} workers paid for exactly their receipts`);
if (wrong.length) {
  console.error(wrong.slice(0, 20).join("\n"));
  process.exit(1);
}
