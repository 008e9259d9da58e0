// cosmjs: read an account whose key is an Ethereum one, read its balance over RPC and
// over REST, send notes as a Cosmos transaction.

import { DirectEthSecp256k1Wallet } from "@cosmjs/proto-signing";
import { SigningStargateClient, StargateClient } from "@cosmjs/stargate";
import { randomBytes } from "node:crypto";
import { AMOUNT, DENOM, PREFIX, assert, equal, network, privateKey, test } from "./network.mjs";

const walletOf = (key) => DirectEthSecp256k1Wallet.fromKey(key, PREFIX);
const addressOf = async (wallet) => (await wallet.getAccounts())[0].address;
const bytes = (hex) => Uint8Array.from(Buffer.from(hex.slice(2), "hex"));

async function gasPrice() {
  const answer = await fetch(network.jsonrpc, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_gasPrice", params: [] }),
  });
  return BigInt((await answer.json()).result);
}

await test("cosmjs", async () => {
  const wallet = await walletOf(bytes(privateKey));
  const address = await addressOf(wallet);

  const reader = await StargateClient.connect(network.rpc);
  const chainID = await reader.getChainId();
  const account = await reader.getAccount(address);
  assert(account, `${address} is not on the ledger`);
  equal(account.address, address, "address of the account as read");
  const before = BigInt((await reader.getBalance(address, DENOM)).amount);
  assert(before > AMOUNT, `${address} holds ${before} ${DENOM}, too little to send ${AMOUNT}`);

  const rest = await (await fetch(`${network.rest}/cosmos/bank/v1beta1/balances/${address}/by_denom?denom=${DENOM}`)).json();
  equal(BigInt(rest.balance.amount), before, "balance over REST");

  const to = await addressOf(await walletOf(Uint8Array.from(randomBytes(32))));
  const gas = 200_000n;
  const fee = gas * (await gasPrice()) * 2n;
  const signer = await SigningStargateClient.connectWithSigner(network.rpc, wallet, { broadcastPollIntervalMs: 200 });
  const sent = await signer.sendTokens(
    address, to,
    [{ denom: DENOM, amount: AMOUNT.toString() }],
    { gas: gas.toString(), amount: [{ denom: DENOM, amount: fee.toString() }] },
    "cosmjs test",
  );
  equal(sent.code, 0, `code of ${sent.transactionHash} (${sent.rawLog})`);
  equal(BigInt((await reader.getBalance(to, DENOM)).amount), AMOUNT, "received");

  // A key that signed is on the ledger: the account parser has to read it.
  const signed = await reader.getAccount(address);
  equal(signed.pubkey?.type, "os/PubKeyEthSecp256k1", "type of the account's key");
  assert(signed.sequence > account.sequence, `sequence ${signed.sequence} after a transaction, ${account.sequence} before`);
  signer.disconnect();
  reader.disconnect();
  return `${chainID}, ${address}, sequence ${signed.sequence}, ${sent.transactionHash} at height ${sent.height}`;
});
