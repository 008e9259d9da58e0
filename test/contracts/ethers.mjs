// ethers: the same as viem.mjs, with another client.

import { AbiCoder, Contract, ContractFactory, hexlify, Interface, JsonRpcProvider, toUtf8Bytes, toUtf8String, Wallet } from "ethers";
import { compiled } from "./compile.mjs";
import { accounts, assert, callbackGas, CANTUS, equal, expected, model, offers, pageGas, params, policies, privateKey, question, rpc, settled, test, until } from "./network.mjs";
import { cases, check } from "./site.mjs";

const { abi, code, cantus } = compiled();
const provider = new JsonRpcProvider(rpc, undefined, { cacheTimeout: -1, pollingInterval: 200 });
const wallet = new Wallet(privateKey, provider);
const precompile = new Contract(CANTUS, cantus, provider);
const iCantus = new Interface(cantus);

const pageType = "tuple(uint16 status, uint64 time, string mediaType, string location, bool cut, bytes32 digest, bytes content)";

const mined = async (sent) => {
  const r = await until("receipt of " + sent.hash, () => provider.getTransactionReceipt(sent.hash));
  equal(r.status, 1, "status of " + sent.hash);
  return r;
};

const events = async (contract, name, id, from) =>
  (await contract.queryFilter(contract.filters[name](id), from)).map((e) => ({ ...e.args.toObject(), blockNumber: e.blockNumber }));

let asker;
await test("ethers: deploy", async () => {
  const sent = await new ContractFactory(abi, code, wallet).deploy();
  const r = await mined(sent.deploymentTransaction());
  asker = new Contract(r.contractAddress, abi, wallet);
  return r.contractAddress;
});

for (const { name, policy } of policies) {
  await test(`ethers: ${name}`, async () => {
    const prompt = question();
    const bytes = toUtf8Bytes(prompt);
    const address = await asker.getAddress();
    const before = await provider.getBalance(address);
    const fee = await precompile.quote(model, bytes.length, params.maxTokens, callbackGas, policy);
    // What it needs now and something more: the price of gas may rise by the next block.
    const value = fee * 2n;
    const asked = await mined(await asker.ask(model, bytes, params, callbackGas, policy, { value }));
    const id = asked.logs.map((l) => l.address === address && asker.interface.parseLog(l)).find((l) => l?.name === "Asked").args.id;
    assert(asked.logs.some((l) => l.address.toLowerCase() === CANTUS && iCantus.parseLog(l)?.name === "Requested"), "no event Requested");
    const info = await precompile.requestOf(id);

    const told = await until(`callback of request ${id}`, async () => {
      const t = await asker.told(id);
      return t.calls > 0n && t;
    });
    const want = expected(prompt);
    equal(toUtf8String(told.answer), want, "what the contract was told");
    const r = await settled(id);
    equal(r.status, "final", "status in the end");
    equal((await precompile.result(id)).answer, told.answer, "answer of result()");

    const [heard] = await events(asker, "Heard", id, asked.blockNumber);
    equal(heard.answer, hexlify(told.answer), "answer of the contract's own event");
    const [answered] = await events(precompile, "Answered", id, asked.blockNumber);
    equal(answered.answer, told.answer, "answer of the event Answered");
    const [called] = await events(precompile, "Called", id, asked.blockNumber);
    assert(called.success, "the callback failed");

    const cost = await accounts(r, bytes.length, (told.answer.length - 2) / 2, called.gasUsed, info.callbackGasPrice);
    equal(await provider.getBalance(address), before + value - cost, "balance of the contract, to the last anote");
    return `${JSON.stringify(want.slice(0, 50))}, told ${answered.blockNumber - asked.blockNumber} blocks after it asked, label ${r.label}, callback ${called.gasUsed} gas, cost ${cost} anote`;
  });
}

for (const c of cases.slice(0, 2)) {
  for (const { name, policy } of policies) {
    await test(`ethers: ${c.name}, ${name}`, async () => {
      const { url } = c;
      const offer = offers.find((o) => o.name === (c.text ? "page/text" : "page/body"));
      const address = await asker.getAddress();
      const before = await provider.getBalance(address);
      const value = 2n * await precompile.quoteFetch(c.text, url.length, pageGas, policy);
      const asked = await mined(await asker.fetchPage(url, c.text, pageGas, policy, { value }));
      const id = asked.logs.map((l) => l.address === address && asker.interface.parseLog(l)).find((l) => l?.name === "Asked").args.id;
      const info = await precompile.requestOf(id);
      const told = await until(`callback of request ${id}`, async () => {
        const t = await asker.told(id);
        return t.calls > 0n && t;
      });
      const r = await settled(id);
      equal(r.status, "final", "status in the end");
      const [saw] = await events(asker, "Saw", id, asked.blockNumber);
      const page = saw.page.toObject();
      check(c, { ...page, content: toUtf8String(page.content) });
      // It is abi.encode(page), whoever decodes it.
      const { answer } = await precompile.result(id);
      equal(answer, told.answer, "answer of result()");
      const [decoded] = AbiCoder.defaultAbiCoder().decode([pageType], answer);
      equal(decoded.content, page.content, "content decoded outside of the contract");
      const [called] = await events(precompile, "Called", id, asked.blockNumber);
      assert(called.success, "the callback failed");
      const cost = await accounts(r, url.length, (told.answer.length - 2) / 2, called.gasUsed, info.callbackGasPrice, offer);
      equal(await provider.getBalance(address), before + value - cost, "balance of the contract, to the last anote");
      return `told ${called.blockNumber - asked.blockNumber} blocks after it asked, label ${r.label}, cost ${cost} anote`;
    });
  }
}
provider.destroy();
