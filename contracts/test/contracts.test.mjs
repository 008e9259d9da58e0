// The base contract, the mock and the examples, as a project would test its own contracts.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import { toUtf8Bytes as text } from "ethers";
import { compile } from "../compile.mjs";
import { World, alice, bob, note } from "./world.mjs";

const model = `0x${"11".repeat(32)}`;
const nobody = `0x${"00".repeat(20)}`;
const labels = { asserted: 1, replayed: 5 };
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

test("the example of the README compiles and hears its answer", async () => {
  const [, code] = readFileSync(new URL("../README.md", import.meta.url), "utf8").match(/```solidity\n([^]*?)```/);
  const { Oracle } = compile({ "Oracle.sol": `// SPDX-License-Identifier: Apache-2.0\npragma solidity ^0.8.24;\n${code}` });
  const w = await World.start();
  const o = await w.deployed("Oracle", Oracle, alice, 0n);
  const { events } = await o.send(bob, note, "ask", model, "What is the tallest mountain?");
  await w.cantus.send(bob, 0n, "answer", events[0].args.id, text("Mount Everest"), labels.replayed);
  assert.equal((await o.read("said"))[0], "Mount Everest");
});
