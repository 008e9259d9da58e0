// Reads every record of a dataset's WARC files with warcio.js and computes the digests of
// its block and payload anew.
import { createHash } from "node:crypto";
import { createReadStream, readdirSync } from "node:fs";
import { join } from "node:path";
import { WARCParser } from "warcio";

const dir = join(process.argv[2], "warc");
const counts = {};
const ids = new Set();
let last = {};

function must(ok, what, record) {
  if (ok) return;
  console.error(`warc: ${what}: ${record?.warcHeaders?.headers?.get("WARC-Record-ID")} ${record?.warcTargetURI}`);
  process.exit(1);
}

const sha256 = (...parts) => {
  const h = createHash("sha256");
  for (const p of parts) h.update(p);
  return "sha256:" + h.digest("hex");
};

for (const name of readdirSync(dir).sort()) {
  let n = 0;
  // parseHttp: false leaves the block as it is, so that its digest can be checked.
  for await (const record of new WARCParser(createReadStream(join(dir, name)), { parseHttp: false })) {
    const field = (f) => record.warcHeaders.headers.get(f);
    const type = record.warcType;
    counts[type] = (counts[type] ?? 0) + 1;
    const block = Buffer.from(await record.readFully(false));
    must(record.warcHeaders.protocol === "WARC/1.1", "not WARC/1.1", record);
    must(block.length === Number(field("Content-Length")), "another length than Content-Length", record);
    must(field("WARC-Block-Digest") === sha256(block), "wrong block digest", record);
    must(!ids.has(field("WARC-Record-ID")), "a record ID twice", record);
    ids.add(field("WARC-Record-ID"));
    must(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$/.test(field("WARC-Date")), "date", record);
    must((type === "warcinfo") === (n++ === 0), "warcinfo is not the first record, or not the only one", record);
    if (type === "warcinfo") {
      must(field("WARC-Filename") === name, "another file name", record);
    } else if (type === "response") {
      const end = block.indexOf("\r\n\r\n") + 4;
      must(end > 3 && block.subarray(0, 5).toString() === "HTTP/", "no HTTP head", record);
      must(field("WARC-Payload-Digest") === sha256(block.subarray(end)), "wrong payload digest", record);
      const head = block.subarray(0, end).toString("latin1");
      const length = /^content-length: *(\d+)\r$/im.exec(head);
      must(length && Number(length[1]) === block.length - end, "HTTP length is not the body's", record);
      must(!/^(content|transfer)-encoding: *(?!identity)/im.test(head), "a coding that the body does not have", record);
      must(last.concurrent === field("WARC-Record-ID"), "the request before it is another's", record);
      must(last.url === record.warcTargetURI, "the request before it is to another address", record);
    }
    last = { concurrent: field("WARC-Concurrent-To"), url: record.warcTargetURI };
  }
}

// Once more as any reader does it: heads parsed, bodies decoded.
let decoded = 0;
for (const name of readdirSync(dir).sort()) {
  for await (const record of new WARCParser(createReadStream(join(dir, name)))) {
    if (record.warcType !== "response") continue;
    const status = record.httpHeaders?.statusCode;
    must(status >= 200 && status < 600, `status ${status}`, record);
    const text = await record.contentText();
    must(typeof text === "string", "no text", record);
    decoded++;
  }
}
must(counts.response > 0 && counts.response === counts.request && counts.response === counts.metadata && decoded === counts.response,
  `counts ${JSON.stringify(counts)}`);
console.log("warcio.js:", JSON.stringify(counts), "all digests right");
