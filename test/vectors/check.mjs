// A second implementation of the signed formats, from their description in package work
// alone and with nothing but Node's own crypto. It must arrive at the bytes in
// work/testdata/vectors.json:
//
//	node test/vectors/check.mjs
import { createHash, createPrivateKey, sign, createPublicKey } from "node:crypto";
import { readFileSync } from "node:fs";

const vectors = JSON.parse(readFileSync(new URL("../../work/testdata/vectors.json", import.meta.url)));
const sha = (...parts) => parts.reduce((h, p) => h.update(p), createHash("sha256")).digest();
const be64 = (n) => { const b = Buffer.alloc(8); b.writeBigUInt64BE(BigInt(n)); return b; };
const be32 = (n) => { const b = Buffer.alloc(4); b.writeUInt32BE(n); return b; };
const domain = (d, ...parts) => Buffer.concat([Buffer.from(d), Buffer.from([0]), ...parts]);

// CBOR, shortest forms only (RFC 8949 §4.2.1).
function head(major, n) {
  n = BigInt(n);
  const m = major << 5;
  if (n < 24n) return Buffer.from([m | Number(n)]);
  if (n < 256n) return Buffer.from([m | 24, Number(n)]);
  if (n < 65536n) { const b = Buffer.from([m | 25, 0, 0]); b.writeUInt16BE(Number(n), 1); return b; }
  if (n < 2n ** 32n) return Buffer.concat([Buffer.from([m | 26]), be32(Number(n))]);
  return Buffer.concat([Buffer.from([m | 27]), be64(n)]);
}
function cbor(v) {
  if (typeof v === "number" || typeof v === "bigint") return head(0, v);
  if (typeof v === "string") { const b = Buffer.from(v); return Buffer.concat([head(3, b.length), b]); }
  if (Buffer.isBuffer(v)) return Buffer.concat([head(2, v.length), v]);
  if (Array.isArray(v)) return Buffer.concat([head(4, v.length), ...v.map(cbor)]);
  throw new Error(`no CBOR for ${v}`);
}

// Ed25519 keys from a seed of one repeated byte.
function key(fill) {
  const der = Buffer.concat([Buffer.from("302e020100300506032b657004220420", "hex"), Buffer.alloc(32, fill)]);
  const secret = createPrivateKey({ key: der, format: "der", type: "pkcs8" });
  const pub = createPublicKey(secret).export({ format: "der", type: "spki" }).subarray(-32);
  return { pub: Buffer.from(pub), sign: (d, msg) => sign(null, domain(d, msg), secret) };
}

const leaf = (data, sum) => ({ hash: sha(Buffer.from([0]), be64(sum), data), sum: BigInt(sum) });
const join = (l, r) => ({ hash: sha(Buffer.from([1]), be64(l.sum), l.hash, be64(r.sum), r.hash), sum: l.sum + r.sum });
function top(nodes) { // RFC 6962: split at the largest power of two below n
  if (nodes.length === 1) return nodes[0];
  let k = 1;
  while (k * 2 < nodes.length) k *= 2;
  return join(top(nodes.slice(0, k)), top(nodes.slice(k)));
}
function root(n) {
  const t = top(Array.from({ length: n }, (_, i) => leaf(Buffer.from([i]), i + 1)));
  return sha(Buffer.from([2]), be64(n), be64(t.sum), t.hash);
}

const chain = "cantus-test-1", worker = key(1), gateway = key(2), auditor = key(3);
const task = sha(domain("cantus/task/1", cbor([7, 42, sha("spec"), sha("body")])));
const receipt = [chain, 7, 42, 1, task, sha("result"), 3, 1_700_000_000_000, 1_700_000_000_250, worker.pub];
const voucher = [chain, 7, gateway.pub, worker.pub, 3, 99];
const id = [chain, 7, 3, 1, auditor.pub];
const salt = Buffer.alloc(32); salt[0] = 9;
const commitment = sha(domain("cantus/verdict/1", cbor([id, 2, sha("seen"), salt])));
const beacon = sha(domain("cantus/beacon/1", be64(7), be64(3), Buffer.alloc(32, 0xab), Buffer.from(chain)));
const one = Buffer.alloc(32); one[0] = 1;

// The six candidates of the test: worker i belongs to operator 'a'+i and network 'x'+i%2.
const candidates = [1, 2, 3, 4, 5, 6].map((i) => ({ key: key(i).pub, operator: i, network: i % 2 }));
const audited = candidates[0];
const auditors = candidates
  .filter((c) => c.operator !== audited.operator)
  .map((c) => ({ ...c, near: c.network === audited.network, rank: sha(domain("cantus/auditor/1", beacon, be32(2), c.key)) }))
  .sort((a, b) => a.near - b.near || Buffer.compare(a.rank, b.rank))
  .slice(0, 3)
  .map((c) => c.key.toString("hex"));

const plants = (indices) => sha(domain("cantus/plants/1", cbor([chain, 7, 3, indices, salt])));

// A worker's cell is the one whose name, hashed with the key, comes last.
const cellOf = (k, names) => names
  .map((name) => ({ name, rank: sha(domain("cantus/cell/1", k, Buffer.from(name))) }))
  .sort((a, b) => Buffer.compare(b.rank, a.rank))[0].name;

// Draws go by one counter: first into the units of workers on probation, then into the rest;
// one into each of as many equal parts as there are draws.
const draw = (i, units) => BigInt("0x" + sha(domain("cantus/sample/1", beacon, be32(i))).toString("hex")) % units;
const drawParts = (first, begin, units, n) => Array.from({ length: Number(n) }, (_, i) => {
  const from = (units * BigInt(i)) / BigInt(n);
  const to = (units * BigInt(i + 1)) / BigInt(n);
  return begin + from + draw(first + i, to > from ? to - from : 1n);
});
const count = (receipts, bps, max) => {
  const n = (receipts * bps + 9999n) / 10000n;
  return [n < 1n ? 1n : n, max, receipts].reduce((a, b) => (a < b ? a : b));
};
function epochSamples(s, r) {
  const rest = s.receipts - s.probationReceipts;
  const n = count(s.probationReceipts, r.probationBps, r.max - 1n);
  const m = count(rest, r.auditBps, r.max - n);
  const first = drawParts(0, 0n, s.probationUnits, n);
  const second = drawParts(Number(n), s.probationUnits, s.units - s.probationUnits, m);
  return [...first, ...second].map(Number);
}

const got = {
  ReceiptCBOR: cbor([receipt, worker.sign("cantus/receipt/1", cbor(receipt))]),
  VoucherCBOR: cbor([voucher, gateway.sign("cantus/voucher/1", cbor(voucher))]),
  Task: task,
  Commitment: commitment,
  CommitmentSignature: auditor.sign("cantus/verdict-commitment/1", cbor([id, commitment])),
  Enrollment: worker.sign("cantus/enrollment/1", cbor([chain, "cantus1owner", worker.pub])),
  Beacon: beacon,
  Settled: sha(domain("cantus/settled/1", Buffer.alloc(32), be64(7), be64(1), one)),
  Root1: root(1),
  Root5: root(5),
  Samples: drawParts(0, 0n, 1000n, 5).map(Number),
  Auditors: auditors,
  Plants: plants([4, 250, 70_000]),
  NoPlants: plants([]),
  Cells: [1, 2, 3, 4, 5, 6].map((i) => cellOf(key(i).pub, ["east", "north", "west"])),
  EpochSamples: epochSamples({ receipts: 1000n, units: 5000n, probationReceipts: 40n, probationUnits: 100n }, { auditBps: 30n, probationBps: 1000n, max: 64n }),
};

let failed = 0;
for (const [name, want] of Object.entries(vectors)) {
  const have = Buffer.isBuffer(got[name]) ? got[name].toString("hex") : got[name];
  if (JSON.stringify(have) !== JSON.stringify(want)) {
    console.error(`${name}: got ${JSON.stringify(have)}, want ${JSON.stringify(want)}`);
    failed++;
  }
}
console.log(`${Object.keys(vectors).length - failed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
