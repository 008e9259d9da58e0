// A machine of Ethereum in memory, with CantusMock's code where a ledger has ICantus.

import { Common, Hardfork, Mainnet } from "@ethereumjs/common";
import { createEVM } from "@ethereumjs/evm";
import { Account, createAddressFromString, hexToBytes } from "@ethereumjs/util";
import { Interface } from "ethers";
import { compile } from "../compile.mjs";

export const cantusAddress = "0x0000000000000000000000000000000000000c00";
export const alice = "0x00000000000000000000000000000000000a11ce";
export const bob = "0x0000000000000000000000000000000000000b0b";
export const note = 10n ** 18n;

const contracts = compile();

export class World {
  static async start() {
    const w = new World();
    w.abis = [];
    w.evm = await createEVM({ common: new Common({ chain: Mainnet, hardfork: Hardfork.Prague }) });
    w.time = 1_800_000_000n;
    for (const who of [alice, bob]) await w.fund(who, 100n * note);
    await w.evm.stateManager.putCode(createAddressFromString(cantusAddress), hexToBytes(`0x${contracts.CantusMock.runtime}`));
    w.cantus = w.at("CantusMock", cantusAddress);
    return w;
  }

  async fund(who, amount) {
    await this.evm.stateManager.putAccount(createAddressFromString(who), new Account(0n, amount));
  }

  async balance(who) {
    return (await this.evm.stateManager.getAccount(createAddressFromString(who)))?.balance ?? 0n;
  }

  block() {
    return { header: {
      number: 1n, timestamp: this.time, coinbase: createAddressFromString(alice), difficulty: 0n, gasLimit: 40_000_000n,
      prevRandao: new Uint8Array(32), baseFeePerGas: 0n, getBlobGasPrice: () => 1n, cliqueSigner: () => createAddressFromString(alice),
    } };
  }

  async run(from, to, data, value) {
    const caller = createAddressFromString(from);
    await this.evm.journal.checkpoint();
    const r = await this.evm.runCall({
      caller, origin: caller, to: to && createAddressFromString(to), data: hexToBytes(data), value, gasLimit: 20_000_000n, block: this.block(),
    });
    // What a transaction's end would do.
    if (r.execResult.exceptionError) await this.evm.journal.revert();
    else await this.evm.journal.commit();
    for (const gone of (r.execResult.selfdestruct ?? new Map()).keys()) {
      await this.evm.stateManager.deleteAccount(createAddressFromString(gone));
    }
    await this.evm.journal.cleanup();
    return r;
  }

  at(name, address) {
    return new Deployed(this, name, new Interface(contracts[name].abi), address);
  }

  deploy(name, from, value, ...args) {
    return this.deployed(name, contracts[name], from, value, ...args);
  }

  async deployed(name, compiled, from, value, ...args) {
    const abi = new Interface(compiled.abi);
    const data = `0x${compiled.code}${abi.encodeDeploy(args).slice(2)}`;
    const r = await this.run(from, undefined, data, value);
    if (r.execResult.exceptionError) throw new Error(`${name}: ${r.execResult.exceptionError.error}`);
    return new Deployed(this, name, abi, r.createdAddress.toString());
  }
}

class Deployed {
  constructor(world, name, abi, address) {
    Object.assign(this, { world, name, abi, address });
    world.abis.push(abi); // events of contracts that are called back
  }

  // send runs a transaction and returns { out, logs }; it throws the error's name or reason.
  async send(from, value, method, ...args) {
    const r = await this.world.run(from, this.address, this.abi.encodeFunctionData(method, args), value);
    const { exceptionError, returnValue, logs } = r.execResult;
    const ret = `0x${Buffer.from(returnValue).toString("hex")}`;
    if (exceptionError) {
      const known = ret.length >= 10 ? this.abi.parseError(ret) : null;
      throw new Error(known ? `${known.name}(${known.args.join(", ")})` : exceptionError.error);
    }
    const events = (logs ?? []).map(([, topics, data]) => {
      const log = { topics: topics.map((t) => `0x${Buffer.from(t).toString("hex")}`), data: `0x${Buffer.from(data).toString("hex")}` };
      for (const abi of [this.abi, ...this.world.abis]) {
        const known = abi.parseLog(log);
        if (known) return known;
      }
      return null;
    }).filter((e) => e !== null);
    return { out: this.abi.decodeFunctionResult(method, ret), events };
  }

  async read(method, ...args) {
    await this.world.evm.journal.checkpoint();
    try {
      return (await this.send(alice, 0n, method, ...args)).out;
    } finally {
      await this.world.evm.journal.revert();
    }
  }
}
