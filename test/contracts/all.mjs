// One client after the other: they share an account, and with it its sequence of nonces.

await import("./viem.mjs");
await import("./ethers.mjs");
