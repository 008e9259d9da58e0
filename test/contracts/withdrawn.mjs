// What becomes of who asks a model that nobody offers any more: the ledger refuses it, by a
// call and in a block, and takes no more than the gas.
//
// From the environment: RPC, KEY and MODEL, as for load.mjs.

import { Interface, JsonRpcProvider, Wallet, parseEther, toUtf8Bytes } from "ethers";
import { compiledOf } from "./compile.mjs";

const CANTUS = "0x0000000000000000000000000000000000000c00";
const iCantus = new Interface(compiledOf("contracts/src/ICantus.sol").ICantus.abi);
const provider = new JsonRpcProvider(process.env.RPC, undefined, { batchMaxCount: 1, cacheTimeout: -1 });
const wallet = new Wallet(process.env.KEY, provider);
const fee = parseEther("1");
const data = iCantus.encodeFunctionData("request", [process.env.MODEL, toUtf8Bytes("hi"), [4, 0, 0, 0, 0], fee, "0x" + "00".repeat(20), 0n, 0]);
const fail = (why) => {
  console.error(why);
  process.exit(1);
};

for (const call of ["quote", "request"]) {
  const tx = call === "quote" ? { to: CANTUS, data: iCantus.encodeFunctionData("quote", [process.env.MODEL, 2, 4, 0n, 0]) } : { from: wallet.address, to: CANTUS, value: fee, data };
  const why = await provider.call(tx).then(() => fail(`${call} was not refused`), (err) => String(err.reason ?? err.info?.error?.message ?? err.message));
  if (!why.includes("has 0 offers")) fail(`${call} was refused for another reason: ${why}`);
  console.log(`${call}: ${why}`);
}

const before = await provider.getBalance(wallet.address);
const sent = await wallet.sendTransaction({ to: CANTUS, value: fee, data, gasLimit: 500_000n });
const mined = await sent.wait().then(() => fail("the request was not refused in its block"), (err) => err.receipt ?? fail(String(err)));
const spent = before - (await provider.getBalance(wallet.address));
if (mined.status !== 0 || mined.logs.length > 0) fail(`the request's receipt: status ${mined.status}, ${mined.logs.length} logs`);
if (spent !== mined.gasUsed * mined.gasPrice) fail(`the refused request cost ${spent}, its gas ${mined.gasUsed * mined.gasPrice}`);
console.log(`refused in block ${mined.blockNumber}; it cost its gas and no more`);
provider.destroy();
