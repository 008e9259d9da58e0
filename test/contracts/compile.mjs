// Compiles the contract of these tests with the pinned compiler of npm. `node compile.mjs`
// writes what the Go tests deploy, ../../cmd/cantus/internal/cli/testdata/Asker.json; with
// --check it fails instead where that would change.

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import solc from "solc";

const here = dirname(fileURLToPath(import.meta.url));

// compiledOf is every contract of a source of this repository and of what it imports, by name.
export function compiledOf(path) {
  const sources = { [path]: { content: readFileSync(join(here, "../..", path), "utf8") } };
  const found = (path) => ({ contents: readFileSync(join(here, "../..", path), "utf8") });
  const out = JSON.parse(solc.compile(JSON.stringify({
    language: "Solidity", sources,
    settings: {
      evmVersion: "prague", optimizer: { enabled: true, runs: 200 }, metadata: { appendCBOR: false, bytecodeHash: "none" },
      outputSelection: { "*": { "*": ["abi", "evm.bytecode.object"] } },
    },
  }), { import: found }));
  const bad = (out.errors ?? []).filter((e) => e.severity === "error");
  if (bad.length) throw new Error(bad.map((e) => e.formattedMessage).join("\n"));
  const contracts = {};
  for (const source of Object.values(out.contracts)) {
    for (const [name, c] of Object.entries(source)) contracts[name] = { abi: c.abi, code: "0x" + c.evm.bytecode.object };
  }
  return contracts;
}

// compiled is the test's contract and the interface's ABI.
export function compiled() {
  const { Asker, ICantus } = compiledOf("test/contracts/Asker.sol");
  return { ...Asker, cantus: ICantus.abi };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const file = join(here, "../../cmd/cantus/internal/cli/testdata/Asker.json");
  const { abi, code } = compiled();
  const text = `${JSON.stringify({ abi, code: code.slice(2) })}\n`;
  if (!process.argv.includes("--check")) {
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  } else if (!existsSync(file) || readFileSync(file, "utf8") !== text) {
    console.error(`${file} is not what the compiler makes: run node compile.mjs`);
    process.exit(1);
  }
}
