// Reads pages.parquet with hyparquet and with DuckDB, two readers that share no code, and
// holds what they say against each other and against index.cdxj.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { DuckDBInstance } from "@duckdb/node-api";
import { asyncBufferFromFile, parquetReadObjects } from "hyparquet";
import { compressors } from "hyparquet-compressors";

const dir = process.argv[2];
const file = join(dir, "pages.parquet");
const fail = (what) => { console.error(`parquet: ${what}`); process.exit(1); };

const rows = await parquetReadObjects({ file: await asyncBufferFromFile(file), compressors });
if (rows.length === 0) fail("no rows");

const index = new Map();
for (const line of readFileSync(join(dir, "index.cdxj"), "utf8").trimEnd().split("\n")) {
  const j = JSON.parse(line.slice(line.indexOf("{")));
  index.set(`${j.filename} ${j.offset}`, j);
}
let texts = 0, links = 0, bytes = 0n;
for (const r of rows) {
  if (!(r.time instanceof Date) || !Array.isArray(r.links ?? [])) fail(`types of ${r.url}`);
  if (r.status > 0) {
    const j = index.get(`${r.warc} ${r.warc_offset}`);
    if (!j || j.url !== r.url || j.digest !== r.digest || Number(j.status) !== r.status || Number(j.length) !== Number(r.warc_length))
      fail(`the index has another ${r.url}`);
  }
  if (r.text_digest && createHash("sha256").update(r.text).digest("hex") !== r.text_digest) fail(`text digest of ${r.url}`);
  texts += r.text ? 1 : 0;
  links += (r.links ?? []).length;
  bytes += BigInt(r.bytes);
}

const db = await (await DuckDBInstance.create(":memory:")).connect();
const sql = async (q) => (await db.runAndReadAll(q)).getRowObjects();
const from = `read_parquet('${file.replaceAll("'", "''")}')`;
const [sum] = await sql(`select count(*) n, count(*) filter (where text <> '') texts, sum(len(links)) links, sum(bytes) bytes,
  count(*) filter (where text_digest is not null and sha256(text) <> text_digest) wrong,
  count(distinct worker) workers, count(duplicate_of) duplicates, min(time) a from ${from}`);
const same = { n: rows.length, texts, links, bytes, wrong: 0 };
for (const [k, v] of Object.entries(same))
  if (BigInt(sum[k] ?? 0) !== BigInt(v)) fail(`${k}: DuckDB says ${sum[k]}, hyparquet ${v}`);
const columns = await sql(`describe select * from ${from}`);
console.log("columns:", columns.map((c) => `${c.column_name} ${c.column_type}`).join(", "));
for (const r of await sql(`select status, media_type, language, count(*) n from ${from} group by all order by n desc limit 8`))
  console.log(`  ${r.n} × ${r.status} ${r.media_type} ${r.language ?? "-"}`);
console.log(`hyparquet and DuckDB: ${rows.length} rows, ${texts} texts, ${links} links, ${bytes} bytes, ${sum.workers} workers, the same`);
