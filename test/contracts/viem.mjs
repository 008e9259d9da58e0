// viem: deploys a contract that asks the demo model and for pages, asks under every policy, and holds what
// the contract was told, the events and its balance against what they must be.

import { createPublicClient, createWalletClient, defineChain, getAddress, hexToString, http, parseEventLogs, stringToHex } from "viem";
import { privateKeyToAccount } from "viem/accounts";
import { compiled } from "./compile.mjs";
import { accounts, assert, callbackGas, CANTUS, equal, expected, model, offers, pageGas, params, policies, privateKey, question, rpc, settled, status, test, until } from "./network.mjs";
import { asked as siteAsked, cases, check } from "./site.mjs";

const { abi, code, cantus } = compiled();
const account = privateKeyToAccount(privateKey);
const chain = defineChain({ id: Number(status.wallet.chainId), name: status.wallet.chainName, nativeCurrency: status.wallet.nativeCurrency, rpcUrls: { default: { http: [rpc] } } });
const transport = http(rpc);
const reader = createPublicClient({ chain, transport, pollingInterval: 200, cacheTime: 0 });
const wallet = createWalletClient({ account, chain, transport });

const receipt = (hash) => until("receipt of " + hash, () => reader.getTransactionReceipt({ hash }).catch((err) => {
  if (err.name === "TransactionReceiptNotFoundError") return null;
  throw err;
}));

// mined waits for a transaction; how much gas it may use viem finds out by itself.
async function mined(send) {
  const r = await receipt(await send);
  equal(r.status, "success", "status of " + r.transactionHash);
  return r;
}

const logs = async (address, eventName, id, from) =>
  parseEventLogs({ abi: address === CANTUS ? cantus : abi, eventName, logs: await reader.getLogs({ address, fromBlock: from }) }).filter((l) => l.args.id === id);

let asker;
await test("viem: deploy", async () => {
  const r = await mined(wallet.deployContract({ abi, bytecode: code }));
  asker = getAddress(r.contractAddress);
  return asker;
});

for (const { name, policy } of policies) {
  await test(`viem: ${name}`, async () => {
    const prompt = question();
    const bytes = stringToHex(prompt);
    const before = await reader.getBalance({ address: asker });
    const sent = 10n ** 18n;
    const asked = await mined(wallet.writeContract({ address: asker, abi, functionName: "ask", args: [model, bytes, params, callbackGas, policy], value: sent }));
    const id = parseEventLogs({ abi, eventName: "Asked", logs: asked.logs })[0].args.id;
    const [requested] = parseEventLogs({ abi: cantus, eventName: "Requested", logs: asked.logs });
    equal(requested.args.payer, asker, "payer of the event Requested");
    equal(requested.args.model, model, "model of the event Requested");
    const info = await reader.readContract({ address: CANTUS, abi: cantus, functionName: "requestOf", args: [id] });

    const told = await until(`callback of request ${id}`, async () => {
      const t = await reader.readContract({ address: asker, abi, functionName: "told", args: [id] });
      return t.calls > 0n && t;
    });
    const want = expected(prompt);
    equal(hexToString(told.answer), want, "what the contract was told");
    const r = await settled(id);
    equal(r.status, "final", "status in the end");
    equal(r.answer, want, "answer that can be read");
    const result = await reader.readContract({ address: CANTUS, abi: cantus, functionName: "result", args: [id] });
    equal(result[1], told.answer, "answer of result()");

    const [heard] = await logs(asker, "Heard", id, asked.blockNumber);
    equal(heard.args.answer, told.answer, "answer of the contract's own event");
    const [answered] = await logs(CANTUS, "Answered", id, asked.blockNumber);
    equal(answered.args.answer, told.answer, "answer of the event Answered");
    const [called] = await logs(CANTUS, "Called", id, asked.blockNumber);
    assert(called.args.success, "the callback failed");
    assert(called.args.gasUsed > 0n && called.args.gasUsed <= callbackGas, `the callback used ${called.args.gasUsed} gas`);

    const cost = await accounts(r, bytes.length / 2 - 1, told.answer.length / 2 - 1, called.args.gasUsed, info.callbackGasPrice);
    equal(await reader.getBalance({ address: asker }), before + sent - cost, "balance of the contract, to the last anote");
    return `${JSON.stringify(want.slice(0, 50))}, told ${answered.blockNumber - asked.blockNumber} blocks after it asked, label ${r.label}, delivered with ${(await receipt(answered.transactionHash)).gasUsed} gas, callback ${called.args.gasUsed}, asked with ${asked.gasUsed}; cost ${cost} anote`;
  });
}

for (const c of cases) {
  for (const { name, policy } of c.status ? policies : policies.slice(0, 1)) {
    await test(`viem: ${c.name}, ${name}`, async () => {
      const { url } = c;
      const offer = offers.find((o) => o.name === (c.text ? "page/text" : "page/body"));
      const before = await reader.getBalance({ address: asker });
      const sent = 10n ** 18n;
      const asked = await mined(wallet.writeContract({ address: asker, abi, functionName: "fetchPage", args: [url, c.text, pageGas, policy], value: sent }));
      const id = parseEventLogs({ abi, eventName: "Asked", logs: asked.logs })[0].args.id;
      equal(parseEventLogs({ abi: cantus, eventName: "Requested", logs: asked.logs })[0].args.model, offer.speaker, "model of the event Requested");
      const info = await reader.readContract({ address: CANTUS, abi: cantus, functionName: "requestOf", args: [id] });
      equal(hexToString(info.prompt), url, "address of the record");

      const told = await until(`callback of request ${id}`, async () => {
        const t = await reader.readContract({ address: asker, abi, functionName: "told", args: [id] });
        return t.calls > 0n && t;
      });
      const r = await settled(id);
      equal(told.failed, !c.status, "whether the contract was told of a failure");
      equal(r.status, c.status ? "final" : "failed", "status in the end");
      const [called] = await logs(CANTUS, "Called", id, asked.blockNumber);
      assert(called.args.success, "the callback failed");
      if (c.status) {
        const [saw] = await logs(asker, "Saw", id, asked.blockNumber);
        check(c, { ...saw.args.page, content: hexToString(saw.args.page.content) });
        equal(r.answer_page.status, c.status, "status that the command line shows");
        equal(r.answer_hex, told.answer, "answer that the command line shows");
      } else {
        equal([...siteAsked.keys()].find((path) => path.startsWith("/private/")), undefined, "a forbidden page that was fetched");
        equal((await reader.readContract({ address: CANTUS, abi: cantus, functionName: "result", args: [id] }))[1], "0x", "answer of result()");
      }
      const cost = await accounts(r, url.length, told.answer.length / 2 - 1, called.args.gasUsed, info.callbackGasPrice, offer);
      equal(await reader.getBalance({ address: asker }), before + sent - cost, "balance of the contract, to the last anote");
      return `told ${called.blockNumber - asked.blockNumber} blocks after it asked, label ${r.label ?? "none"}, callback ${called.args.gasUsed} gas, cost ${cost} anote`;
    });
  }
}

await test("viem: cancel", async () => {
  const before = await reader.getBalance({ address: asker });
  const asked = await mined(wallet.writeContract({ address: asker, abi, functionName: "ask", args: [model, stringToHex(question()), params, callbackGas, 0], value: 10n ** 18n }));
  const id = parseEventLogs({ abi, eventName: "Asked", logs: asked.logs })[0].args.id;
  const r = await receipt(await wallet.writeContract({ address: asker, abi, functionName: "cancel", args: [id] }));
  if (r.status !== "success") return "answered before it could be cancelled";
  const end = await settled(id);
  equal(end.status, "cancelled", "status");
  const spent = BigInt(end.escrow) - BigInt(end.job_refunded) + BigInt(end.burned);
  equal(end.delivered, "0", "paid for a delivery");
  equal(end.gas_paid, "0", "paid for a callback");
  equal(await reader.getBalance({ address: asker }), before + 10n ** 18n - spent, "balance of the contract, to the last anote");
  return `${spent} anote were spent by then`;
});
