// ethers: connect, read a balance, send notes, check what arrived and what it cost.

import { JsonRpcProvider, Wallet } from "ethers";
import { AMOUNT, assert, equal, network, privateKey, test, until } from "./network.mjs";

await test("ethers", async () => {
  const provider = new JsonRpcProvider(network.jsonrpc, undefined, { cacheTimeout: -1, pollingInterval: 200 });
  try {
    const { chainId } = await provider.getNetwork();
    assert(chainId > 0n, `chain ID ${chainId}`);
    assert((await provider.getBlockNumber()) > 0, "no block yet");

    const wallet = new Wallet(privateKey, provider);
    const before = await provider.getBalance(wallet.address);
    assert(before > AMOUNT, `${wallet.address} holds ${before} anote, too little to send ${AMOUNT}`);

    const to = Wallet.createRandom().address;
    equal(await provider.getBalance(to), 0n, `balance of the fresh account ${to}`);

    const sent = await wallet.sendTransaction({ to, value: AMOUNT });
    const receipt = await until("receipt of " + sent.hash, () => provider.getTransactionReceipt(sent.hash));
    equal(receipt.status, 1, "status of " + sent.hash);
    equal(await provider.getBalance(to), AMOUNT, "received");

    const after = await provider.getBalance(wallet.address);
    equal(before - after, AMOUNT + receipt.fee, "sender's spending: the amount and the fee");

    const seen = await until("transaction " + sent.hash, () => provider.getTransaction(sent.hash));
    equal(seen.value, AMOUNT, "value of the transaction as read back");
    return `chain ${chainId}, ${sent.hash} in block ${receipt.blockNumber}, fee ${receipt.fee} anote`;
  } finally {
    provider.destroy();
  }
});
