// A web site on this machine, which the workers of a one-machine network may fetch from.

import { createHash } from "node:crypto";
import { createServer } from "node:http";

export const html = "<!doctype html><html lang=en><title>A page</title><body><h1>Heading</h1><p>Workers of the network read this.</p><script>var n = 1</script></body></html>";
export const json = JSON.stringify({ pair: "note/anote", price: "1000000000000000000" });
export const long = "All work and no play. ".repeat(1000);

export const sha256 = (text) => "0x" + createHash("sha256").update(text).digest("hex");

// Paths that were asked for, and by how many.
export const asked = new Map();

const answers = {
  "/robots.txt": [200, "text/plain", "User-agent: *\nDisallow: /private/\n"],
  "/page": [200, "text/html; charset=utf-8", html],
  "/data.json": [200, "application/json", json],
  "/long.txt": [200, "text/plain", long],
  "/private/page": [200, "text/html", html],
};

const answer = (request, response) => {
  asked.set(request.url, (asked.get(request.url) ?? 0) + 1);
  if (request.url === "/silent") return void request.socket.destroy();
  if (request.url === "/moved") return void response.writeHead(302, { Location: "/page?from=moved" }).end();
  const [status, type, body] = answers[request.url] ?? [404, "text/plain", "no such page\n"];
  response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) }).end(body);
};

async function serve() {
  const server = createServer(answer);
  await new Promise((listening, failed) => server.on("error", failed).listen(0, "127.0.0.1", listening));
  server.unref();
  return `http://127.0.0.1:${server.address().port}`;
}

const origin = await serve();
// Nobody knows its robots.txt when a page of it is asked for, so a worker is paid for that.
const another = await serve();

// Every page that the tests ask for, and what a contract must be told of it; no status
// means that the request must fail.
export const cases = [
  { name: "text of a page", path: "/page", text: true, status: 200, mediaType: "text/html", holds: "Workers of the network read this.", lacks: "<" },
  { name: "body of a page", path: "/data.json", text: false, status: 200, mediaType: "application/json", content: json },
  { name: "body that is long", path: "/long.txt", text: false, status: 200, mediaType: "text/plain", content: "", digest: sha256(long) },
  { name: "text where there is none", path: "/data.json", text: true, status: 200, mediaType: "application/json", content: "", digest: "0x" + "0".repeat(64) },
  { name: "missing page", path: "/missing", text: false, status: 404, mediaType: "text/plain", content: "no such page\n" },
  { name: "redirect", path: "/moved", text: false, status: 302, mediaType: "", location: "/page?from=moved", content: "" },
  { name: "page that robots.txt forbids", path: "/private/page", text: false, origin: another },
  { name: "another page there", path: "/private/other", text: false, origin: another },
  { name: "page without a response", path: "/silent", text: false },
].map((c) => ({ ...c, url: (c.origin ?? origin) + c.path }));

// check holds what a contract was told of a page, {status, time, mediaType, location, cut,
// digest, content}, against a case; content is a string.
export function check(c, page) {
  const wrong = [];
  const want = (what, got, wanted) => { if (got !== wanted) wrong.push(`${what}: got ${got}, want ${wanted}`); };
  want("status", Number(page.status), c.status);
  want("media type", page.mediaType, c.mediaType);
  want("location", page.location, c.location ? origin + c.location : "");
  want("cut", page.cut, false);
  want("digest", page.digest, c.digest ?? sha256(page.content));
  if (c.content !== undefined) want("content", page.content, c.content);
  if (c.holds && !page.content.includes(c.holds)) wrong.push(`content: ${JSON.stringify(page.content)} without ${c.holds}`);
  if (c.lacks && page.content.includes(c.lacks)) wrong.push(`content: ${JSON.stringify(page.content)} with ${c.lacks}`);
  if (Math.abs(Number(page.time) - Date.now() / 1000) > 600) wrong.push(`time: ${page.time}`);
  if (wrong.length) throw new Error(wrong.join("; "));
}
