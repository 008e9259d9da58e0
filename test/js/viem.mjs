// viem: connect, read a balance, send notes, check what arrived.

import { createPublicClient, createWalletClient, defineChain, http } from "viem";
import { generatePrivateKey, privateKeyToAccount } from "viem/accounts";
import { AMOUNT, assert, equal, network, privateKey, test, until } from "./network.mjs";

await test("viem", async () => {
  const transport = http(network.jsonrpc);
  const id = await createPublicClient({ transport }).getChainId();
  const chain = defineChain({
    id,
    name: "Cantus",
    nativeCurrency: { name: "note", symbol: "NOTE", decimals: 18 },
    rpcUrls: { default: { http: [network.jsonrpc] } },
  });
  const reader = createPublicClient({ chain, transport, pollingInterval: 200, cacheTime: 0 });
  const account = privateKeyToAccount(privateKey);
  const wallet = createWalletClient({ account, chain, transport });

  const before = await reader.getBalance({ address: account.address });
  assert(before > AMOUNT, `${account.address} holds ${before} anote, too little to send ${AMOUNT}`);

  const to = privateKeyToAccount(generatePrivateKey()).address;
  equal(await reader.getBalance({ address: to }), 0n, `balance of the fresh account ${to}`);

  const hash = await wallet.sendTransaction({ to, value: AMOUNT });
  const receipt = await until("receipt of " + hash, () =>
    reader.getTransactionReceipt({ hash }).catch((err) => {
      if (err.name === "TransactionReceiptNotFoundError") return null;
      throw err;
    }),
  );
  equal(receipt.status, "success", "status of " + hash);
  equal(await reader.getBalance({ address: to }), AMOUNT, "received");
  const fee = receipt.gasUsed * receipt.effectiveGasPrice;
  equal(before - (await reader.getBalance({ address: account.address })), AMOUNT + fee, "sender's spending");
  return `chain ${id}, ${hash} in block ${receipt.blockNumber}`;
});
