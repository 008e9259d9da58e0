// The base contract, the mock and the examples, as a project would test its own contracts.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import test from "node:test";
import { toUtf8Bytes as text } from "ethers";
import { compile } from "../compile.mjs";
import { World, alice, bob, note } from "./world.mjs";

const model = `0x${"11".repeat(32)}`;
const nobody = `0x${"00".repeat(20)}`;
const labels = { asserted: 1, agreed: 3, replayed: 5 };
const status = { open: 1n, answered: 2n, final: 3n, refuted: 4n, failed: 5n, cancelled: 6n };

async function bounty(w) {
  return w.deploy("Bounty", alice, note, model, "A haiku about music.", w.time + 1000n);
}

async function submit(w, b, who, work) {
  const { out } = await b.send(who, note, "submit", work);
  return out[0];
}

test("the first work that the model accepts wins the bounty", async () => {
  const w = await World.start();
  const b = await bounty(w);
  const bad = await submit(w, b, bob, "A limerick.");
  const good = await submit(w, b, bob, "silence, then one note / the whole wood leans in to hear / silence again, full");
  const late = await submit(w, b, alice, "another haiku");
  await w.cantus.send(alice, 0n, "answer", bad, text("NO."), labels.replayed);
  assert.equal((await b.read("winner"))[0], nobody);
  const { events } = await w.cantus.send(alice, 0n, "answer", good, text(" Yes, it is."), labels.replayed);
  assert.equal(events.find((e) => e.name === "Called").args.success, true);
  await w.cantus.send(alice, 0n, "answer", late, text("YES"), labels.replayed);
  assert.equal((await b.read("winner"))[0].toLowerCase(), bob);
  assert.deepEqual((await b.read("submissions", bad)).map(String).slice(1, 2), ["3"]);

  const fee = (await w.cantus.read("quote", model, (await b.read("promptFor", "x"))[0].length / 2 - 1, 8, 150_000, 0))[0];
  assert.ok(fee > 0n && fee < note);
  const before = await w.balance(bob);
  await b.send(bob, 0n, "withdraw");
  assert.ok((await w.balance(bob)) - before > note, "the reward, and what was too much of the fees");
  await assert.rejects(b.send(bob, 0n, "withdraw"), /NothingToWithdraw/);
  await assert.rejects(b.send(bob, note, "submit", "too late"), /Closed/);
  await assert.rejects(b.send(bob, 0n, "reclaim"), /NotSponsor/);
  await b.send(alice, 0n, "reclaim");
  assert.equal(await w.balance(b.address), (await b.read("owed"))[0]);
});

test("a bounty says no to all but a plain yes", async () => {
  const w = await World.start();
  for (const [answer, yes] of [["YES", true], ["yes", true], ["\n Yes.", true], ["yes\n", true], ["yesterday", false], ["", false], ["ye", false], ["No, yes", false], ["  ", false]]) {
    const b = await bounty(w);
    const id = await submit(w, b, bob, "work");
    await w.cantus.send(alice, 0n, "answer", id, text(answer), labels.replayed);
    assert.equal((await b.read("submissions", id))[1], yes ? 2n : 3n, JSON.stringify(answer));
  }
});

test("a bounty whose judge stays silent gives the money back", async () => {
  const w = await World.start();
  const b = await bounty(w);
  const id = await submit(w, b, bob, "work");
  await assert.rejects(b.send(bob, 1n, "submit", "work"), /TooLittlePaid/);
  await assert.rejects(b.send(bob, note, "submit", "x".repeat(2049)), /WorkTooLong/);
  w.time += 2000n;
  await assert.rejects(b.send(bob, note, "submit", "work"), /Closed/);
  await assert.rejects(b.send(alice, 0n, "reclaim"), /NotYet/);
  await w.cantus.send(alice, 0n, "fail", id);
  assert.equal((await b.read("submissions", id))[1], 4n);
  const owed = (await b.read("owed"))[0];
  const before = await w.balance(alice);
  await b.send(alice, 0n, "reclaim");
  assert.ok((await w.balance(alice)) - before > note, "the reward, and the fee that came back");
  assert.equal(await w.balance(b.address), owed);
});

test("a treasury's vote is summed up at once, and the summary goes when it was false", async () => {
  const w = await World.start();
  const t = await w.deploy("TreasurySummary", alice, note, model, [alice, bob]);
  const garden = "0x000000000000000000000000000000000000a4d1";
  await assert.rejects(t.send(garden, 0n, "propose", garden, 1n, "?"), /NotMember/);
  for (const fate of ["conclude", "refute"]) {
    const { out: [n] } = await t.send(alice, 0n, "propose", garden, 1000n, "Plant trees.");
    await t.send(alice, 0n, "vote", n, true, "Shade.");
    await t.send(bob, 0n, "vote", n, fate === "conclude", "Let me think.");
    await assert.rejects(t.send(bob, 0n, "vote", n, true, "Again."), /VotedAlready/);
    await assert.rejects(t.send(bob, 0n, "close", n), /VoteOpen/);
    w.time += 3n * 86_400n;
    await assert.rejects(t.send(bob, 0n, "vote", n, true, "Late."), /VoteClosed/);
    const { events } = await t.send(bob, 0n, "close", n);
    const decided = events.find((e) => e?.name === "Decided").args;
    const accepted = fate === "conclude";
    assert.equal(decided.accepted, accepted);
    await assert.rejects(t.send(bob, 0n, "close", n), /VoteClosed/);
    const asked = (await w.cantus.read("requestOf", decided.request))[0];
    assert.match(Buffer.from(asked.prompt.slice(2), "hex").toString(), /Plant trees\.[^]*yes: Shade\./);
    await w.cantus.send(bob, 0n, "answer", decided.request, text("Trees, because of shade."), labels.asserted);
    assert.deepEqual([...(await t.read("summaryOf", n))], ["Trees, because of shade.", 1n, false]);
    await w.cantus.send(bob, 0n, fate, decided.request);
    assert.deepEqual([...(await t.read("summaryOf", n))], accepted ? ["Trees, because of shade.", 1n, true] : ["", 0n, false]);
  }
  assert.equal(await w.balance(garden), 1000n);
});

test("only Cantus calls back, and only about what was asked", async () => {
  const w = await World.start();
  const b = await bounty(w);
  const id = await submit(w, b, bob, "work");
  await assert.rejects(b.send(bob, 0n, "onCantusResult", id, 3, text("YES"), 5, `0x${"00".repeat(32)}`), /OnlyCantus/);
  // Bob asks something himself and names the bounty as his callback.
  const params = { maxTokens: 8, temperature: 0, topK: 0, topP: 0, seed: 0 };
  const fee = (await w.cantus.read("quote", model, 2, 8, 100_000, 0))[0];
  const { out: [foreign] } = await w.cantus.send(bob, fee, "request", model, text("hi"), params, fee, b.address, 100_000, 0);
  const { events } = await w.cantus.send(bob, 0n, "answer", foreign, text("YES"), labels.replayed);
  assert.equal(events.find((e) => e.name === "Called").args.success, false);
  assert.equal((await b.read("winner"))[0], nobody);
  assert.equal((await w.cantus.read("result", foreign))[0], status.final, "the answer stands");
  // An answer is told once.
  await w.cantus.send(bob, 0n, "answer", id, text("YES"), labels.replayed);
  await assert.rejects(w.cantus.send(bob, 0n, "answer", id, text("NO"), labels.replayed), /not open/);
});

test("the mock refuses what the ledger does", async () => {
  const w = await World.start();
  const params = { maxTokens: 8, temperature: 0, topK: 0, topP: 0, seed: 0 };
  const ask = (value, maxFee, p = params) => w.cantus.send(bob, value, "request", model, text("hi"), p, maxFee, nobody, 0, 0);
  const fee = (await w.cantus.read("quote", model, 2, 8, 0, 0))[0];
  await assert.rejects(ask(fee, fee + 1n), /not maxFee/);
  await assert.rejects(ask(fee - 1n, fee - 1n), /less than/);
  await assert.rejects(ask(fee, fee, { ...params, maxTokens: 0 }), /no tokens/);
  const { out: [id] } = await ask(fee, fee);
  await assert.rejects(w.cantus.send(alice, 0n, "cancel", id), /somebody else/);
  await assert.rejects(w.cantus.send(alice, 0n, "refute", id), /optimistically/);
  const before = await w.balance(bob);
  await w.cantus.send(bob, 0n, "cancel", id);
  assert.equal((await w.balance(bob)) - before, fee);
  assert.equal((await w.cantus.read("result", id))[0], status.cancelled);
  await assert.rejects(w.cantus.read("label", "bafy"), /not registered/);
  await w.cantus.send(alice, 0n, "setArtifact", "bafy", [bob, 7, "CC0-1.0", false, 5, true]);
  const origin = [...(await w.cantus.read("origin", "bafy"))];
  assert.equal(origin[0].toLowerCase(), bob);
  assert.deepEqual(origin.slice(1), [7n, "CC0-1.0", false]);
  assert.equal((await w.cantus.read("label", "bafy"))[0], 5n);
  assert.equal((await w.cantus.read("isTainted", "bafy"))[0], true);
});

const url = "https://weather.example/riga";
const page = { status: 200, time: 1_800_000_000n, mediaType: "text/plain", location: "", cut: false, digest: `0x${"00".repeat(32)}`, content: text("It rains.") };
const sha256 = (bytes) => `0x${createHash("sha256").update(bytes).digest("hex")}`;

test("a notary records what a page said, and nothing of one that nobody could fetch", async () => {
  const w = await World.start();
  const n = await w.deploy("Notary", alice, 0n);
  await assert.rejects(n.send(bob, note, "record", url, true, 1), /NotFinal/);
  await assert.rejects(n.send(bob, 0n, "record", url, true, 0), /FeeNotCovered/);
  const { out: [first] } = await n.send(bob, note, "record", url, true, 2);
  const asked = (await w.cantus.read("requestOf", first))[0];
  assert.equal(Buffer.from(asked.prompt.slice(2), "hex").toString(), url);
  assert.equal(asked.model, sha256("cantus speaker 1\0ipage/text"));
  assert.deepEqual([...asked.params], [0n, 0n, 0n, 0n, 0n]);
  const { events } = await w.cantus.send(alice, 0n, "answerPage", first, page, labels.agreed);
  assert.equal(events.find((e) => e.name === "Called").args.success, true);
  const recorded = (list) => [...list.find((e) => e.name === "Recorded").args.page];
  const rains = `0x${Buffer.from("It rains.").toString("hex")}`;
  assert.deepEqual(recorded(events), [200n, page.time, "text/plain", "", false, sha256("It rains."), rains]);
  const e = (await n.read("entry", first))[0];
  assert.deepEqual([e.url, e.text, e.status, e.time, e.digest, e.label], [url, true, 200n, page.time, sha256("It rains."), 3n]);

  // A redirect and a page that is too long are answers too.
  const { out: [second] } = await n.send(bob, 0n, "record", url, false, 0);
  assert.equal((await w.cantus.read("requestOf", second))[0].model, sha256("cantus speaker 1\0ipage/body"));
  const digest = sha256("a long page");
  const there = await w.cantus.send(alice, 0n, "answerPage", second, { ...page, status: 301, location: `${url}/`, cut: true, digest, content: "0x" }, labels.agreed);
  const moved = (await n.read("entry", second))[0];
  assert.deepEqual([moved.status, moved.cut, moved.digest], [301n, true, digest]);
  assert.deepEqual(recorded(there.events), [301n, page.time, "text/plain", `${url}/`, true, digest, "0x"]);

  const { out: [third] } = await n.send(bob, 0n, "record", url, true, 3);
  await w.cantus.send(alice, 0n, "fail", third);
  assert.equal((await n.read("entry", third))[0].status, 0n);

  // What is no page is not read as one: the callback fails, and records nothing.
  const { out: [fourth] } = await n.send(bob, 0n, "record", url, true, 0);
  const odd = await w.cantus.send(alice, 0n, "answer", fourth, text("It rains."), labels.replayed);
  assert.equal(odd.events.find((x) => x.name === "Called").args.success, false);
  assert.equal((await n.read("entry", fourth))[0].status, 0n);
});

test("the mock refuses fetches that the ledger does", async () => {
  const w = await World.start();
  const fee = (await w.cantus.read("quoteFetch", true, url.length, 0, 2))[0];
  const ask = (address, value = note, maxFee = value) => w.cantus.send(bob, value, "fetch", address, true, maxFee, nobody, 0, 2);
  await assert.rejects(ask(url, fee, fee + 1n), /not maxFee/);
  await assert.rejects(ask(url, fee - 1n), /less than/);
  for (const [bad, why] of [
    ["", /1 to 2048/], [`https://a/${"b".repeat(2048)}`, /1 to 2048/], ["ftp://a/", /want http/], ["weather.example/", /want http/],
    ["https://weather.example", /slash after/], ["https://weather.example?q", /slash after/], ["https:///riga", /slash after/],
    ["https://Weather.example/", /small letters/], ["https://me@weather.example/", /user's name/], ["https://weather.example/#a", /such a byte/],
    ["https://weather.example/r\u012bga", /such a byte/], ["https://weather.example/a b", /such a byte/],
  ]) await assert.rejects(ask(bad), why, bad);
  await assert.rejects(w.cantus.send(bob, fee, "fetch", url, true, fee, nobody, 0, 6), /unknown policy/);
  const { out: [id] } = await ask(url, fee);
  await assert.rejects(w.cantus.send(bob, 0n, "answerPage", id, { ...page, content: new Uint8Array(4097) }, labels.agreed), /4096/);
  await w.cantus.send(bob, 0n, "answerPage", id, page, labels.agreed);
  assert.equal((await w.cantus.read("result", id))[0], status.final);
  const params = { maxTokens: 8, temperature: 0, topK: 0, topP: 0, seed: 0 };
  const { out: [question] } = await w.cantus.send(bob, note, "request", model, text("hi"), params, note, nobody, 0, 0);
  await assert.rejects(w.cantus.send(bob, 0n, "answerPage", question, page, labels.agreed), /not for a page/);
});

test("the examples of the README compile and hear their answers", async () => {
  const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
  const [asks, looks] = [...readme.matchAll(/```solidity\n(import[^]*?)```/g)].map(([, code]) => `// SPDX-License-Identifier: Apache-2.0\npragma solidity ^0.8.24;\n${code}`);
  const { Oracle, Weather } = compile({ "Oracle.sol": asks, "Weather.sol": looks });
  const w = await World.start();
  const o = await w.deployed("Oracle", Oracle, alice, 0n);
  const { events } = await o.send(bob, note, "ask", model, "What is the tallest mountain?");
  await w.cantus.send(bob, 0n, "answer", events[0].args.id, text("Mount Everest"), labels.replayed);
  assert.equal((await o.read("said"))[0], "Mount Everest");
  const p = await w.deployed("Weather", Weather, alice, 0n);
  const { events: [fetched] } = await p.send(bob, note, "look", url);
  await w.cantus.send(bob, 0n, "answerPage", fetched.args.id, page, labels.agreed);
  assert.equal((await p.read("said"))[0], `0x${Buffer.from("It rains.").toString("hex")}`);
});
