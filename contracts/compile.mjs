// Compiles the contracts with the pinned compiler of npm. `node compile.mjs` writes
//
//   abi/NAME.json                       the ABIs of src/ and examples/
//   ../ledger/precompiles/cantus/testdata/NAME.json   ABI and code of what the ledger's tests deploy
//
// and with -check fails instead where a file would change. compile() is what the tests use.

import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = dirname(fileURLToPath(import.meta.url));
const version = JSON.parse(readFileSync(join(here, "package.json"))).devDependencies.solc;
const folders = ["src", "examples", "test/hostile"];

// compile returns { NAME: { abi, code, runtime, source } } for every contract, and for those in
// more: sources by their paths.
export function compile(more = {}) {
  if (!solc.version().startsWith(`${version}+`)) {
    throw new Error(`solc is ${solc.version()}, but package.json pins ${version}: run npm ci in contracts/`);
  }
  const sources = Object.fromEntries(Object.entries(more).map(([path, content]) => [path, { content }]));
  for (const folder of folders) {
    for (const file of readdirSync(join(here, folder)).filter((f) => f.endsWith(".sol"))) {
      sources[`${folder}/${file}`] = { content: readFileSync(join(here, folder, file), "utf8") };
    }
  }
  const out = JSON.parse(solc.compile(JSON.stringify({
    language: "Solidity",
    sources,
    settings: {
      remappings: ["@cantus/contracts/="],
      evmVersion: "prague",
      optimizer: { enabled: true, runs: 200 },
      metadata: { appendCBOR: false, bytecodeHash: "none" },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object", "evm.deployedBytecode.object"] } },
    },
  })));
  // 5159: selfdestruct is deprecated. Here it is used on purpose.
  const told = (out.errors ?? []).filter((e) => e.errorCode !== "5159");
  if (told.length > 0) throw new Error(told.map((e) => e.formattedMessage).join("\n"));
  const contracts = {};
  for (const [source, found] of Object.entries(out.contracts)) {
    for (const [name, c] of Object.entries(found)) {
      contracts[name] = { source, abi: c.abi, code: c.evm.bytecode.object, runtime: c.evm.deployedBytecode.object };
    }
  }
  return contracts;
}

// deployed are the contracts, beside the hostile ones, that the ledger's tests put on a ledger.
const deployed = ["Bounty", "Notary", "TreasurySummary"];

function outputs() {
  const files = {};
  for (const [name, c] of Object.entries(compile())) {
    if (c.source.startsWith("test/") || deployed.includes(name)) {
      files[join(here, "../ledger/precompiles/cantus/testdata", `${name}.json`)] =
        `${JSON.stringify({ abi: c.abi, code: c.code })}\n`;
    }
    if (!c.source.startsWith("test/") && basename(c.source, ".sol") === name) {
      files[join(here, "abi", `${name}.json`)] = `${JSON.stringify(c.abi, null, 1)}\n`;
    }
  }
  return files;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const check = process.argv.some((a) => a === "-check" || a === "--check");
  let stale = 0;
  for (const [path, text] of Object.entries(outputs())) {
    if (!check) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text);
    } else if (!existsSync(path) || readFileSync(path, "utf8") !== text) {
      console.error(`${path} is not what contracts/compile.mjs writes: run make gen`);
      stale++;
    }
  }
  process.exitCode = stale > 0 ? 1 : 0;
}
