// The chat templates that package openai is tested with, rendered by Hugging Face's own
// Jinja: both have to give what is written beside them.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test, { mock } from "node:test";
import { Template } from "@huggingface/jinja";

process.env.TZ = "UTC";
mock.timers.enable({ apis: ["Date"], now: Date.UTC(2026, 2, 5, 12) });

const dir = new URL("../../kinds/infer/openai/testdata/templates/", import.meta.url);
for (const [i, c] of JSON.parse(readFileSync(new URL("cases.json", dir))).entries()) {
  test(`${i} ${c.template}`, () => {
    const render = () =>
      new Template(readFileSync(new URL(`${c.template}.jinja`, dir), "utf8")).render({
        messages: c.messages, bos_token: c.bos_token, eos_token: c.eos_token, add_generation_prompt: true,
        tools: null, documents: null, ...c.kwargs,
      });
    if (c.error) assert.throws(render, (e) => e.message.includes(c.error));
    else assert.equal(render(), c.want);
  });
}
