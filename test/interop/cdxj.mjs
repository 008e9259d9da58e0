// Compares a dataset's index.cdxj with the one that warcio's cdx-index makes of its WARC
// files: the same lines but for the directory of the file, and for the media type where
// the server named none.
import { readFileSync } from "node:fs";
import { basename, join } from "node:path";

const read = (file) =>
  readFileSync(file, "utf8").trimEnd().split("\n").map((line) => {
    const [, key, time, json] = /^(\S+) (\d{14}) (\{.*\})$/.exec(line) ?? [];
    if (!json) throw new Error(`${file}: not a CDXJ line: ${line}`);
    return { key, time, ...JSON.parse(json) };
  });

const byPlace = (a, b) => a.filename.localeCompare(b.filename) || a.offset - b.offset;
const ours = read(join(process.argv[2], "index.cdxj")).map((l) => ({ ...l, filename: basename(l.filename) })).sort(byPlace);
const theirs = read(process.argv[3]).map((l) => ({ ...l, filename: basename(l.filename) })).sort(byPlace);

if (ours.length !== theirs.length) {
  console.error(`cdxj: ${ours.length} lines, warcio makes ${theirs.length}`);
  process.exit(1);
}
let bad = 0;
for (const [i, t] of theirs.entries()) {
  const o = ours[i];
  for (const f of ["key", "time", "url", "mime", "status", "digest", "length", "offset", "filename"]) {
    if (f === "mime" && (!t.mime || t.mime.toLowerCase() === o.mime)) continue;
    if (String(o[f]) === String(t[f])) continue;
    if (bad++ < 10) console.error(`cdxj: ${o.url}: ${f} is ${o[f]}, warcio has ${t[f]}`);
  }
}
if (bad) process.exit(1);
console.log(`warcio cdx-index: ${ours.length} lines, the same`);
