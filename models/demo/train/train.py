#!/usr/bin/env python3
"""Trains the demo model and writes it in Hugging Face's layout.

    train.py --wordnet /usr/share/wordnet --out DIR [--tokens N] [--minutes N]

Stops after as many tokens, or as many minutes, whichever comes first, and keeps the
weights that did best on what it was not shown. A run that was interrupted goes on from
DIR/checkpoint.pt. README.md beside this file says what comes of it.
"""

import argparse
import json
import math
import os
import random
import struct
import time

import torch
import torch.nn.functional as F

import talk
import wordnet
from bpe import BPE

SHAPE = dict(vocab=3072, dim=192, hidden=512, layers=4, heads=6, kv_heads=3, context=512)
HEAD = SHAPE["dim"] // SHAPE["heads"]
THETA, EPS = 10000.0, 1e-5
BATCH = 8192  # tokens
COMMON = 3000  # words


class Layer(torch.nn.Module):
    def __init__(self):
        super().__init__()
        d, h, kv = SHAPE["dim"], SHAPE["hidden"], SHAPE["kv_heads"] * HEAD
        self.attn_norm, self.ffn_norm = torch.nn.Parameter(torch.ones(d)), torch.nn.Parameter(torch.ones(d))
        linear = lambda a, b: torch.nn.Linear(a, b, bias=False)
        self.q, self.k, self.v, self.o = linear(d, d), linear(d, kv), linear(d, kv), linear(d, d)
        self.gate, self.up, self.down = linear(d, h), linear(d, h), linear(h, d)


def norm(x, gain):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * gain


class Llama(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(SHAPE["vocab"], SHAPE["dim"])
        self.layers = torch.nn.ModuleList(Layer() for _ in range(SHAPE["layers"]))
        self.final_norm = torch.nn.Parameter(torch.ones(SHAPE["dim"]))
        for name, p in self.named_parameters():
            if p.dim() == 2:
                torch.nn.init.normal_(p, std=0.02 / (math.sqrt(2 * SHAPE["layers"]) if name.endswith(("o.weight", "down.weight")) else 1))
        angle = torch.outer(torch.arange(SHAPE["context"]).float(), THETA ** (-torch.arange(0, HEAD, 2).float() / HEAD))
        self.register_buffer("cos", angle.cos(), persistent=False)
        self.register_buffer("sin", angle.sin(), persistent=False)

    def turn(self, x):  # batch, heads, positions, HEAD
        c, s = self.cos[: x.shape[2]], self.sin[: x.shape[2]]
        a, b = x.chunk(2, -1)
        return torch.cat((a * c - b * s, b * c + a * s), -1)

    def forward(self, tokens, wanted):
        """The logits of the positions that are wanted."""
        n, t = tokens.shape
        x = self.embed(tokens)
        mask = torch.full((t, t), float("-inf")).triu(1)
        share = SHAPE["heads"] // SHAPE["kv_heads"]
        for l in self.layers:
            h = norm(x, l.attn_norm)
            q, k, v = (f(h).view(n, t, -1, HEAD).transpose(1, 2) for f in (l.q, l.k, l.v))
            q, k = self.turn(q), self.turn(k)
            # The heads that share keys lie one after another.
            q = q.reshape(n, SHAPE["kv_heads"], share * t, HEAD)
            w = (q @ k.transpose(2, 3)).view(n, SHAPE["kv_heads"], share, t, t) / math.sqrt(HEAD) + mask
            y = (w.softmax(-1).view(n, SHAPE["kv_heads"], share * t, t) @ v).view(n, SHAPE["heads"], t, HEAD)
            x = x + l.o(y.transpose(1, 2).reshape(n, t, -1))
            h = norm(x, l.ffn_norm)
            x = x + l.down(F.silu(l.gate(h)) * l.up(h))
        return norm(x[wanted], self.final_norm) @ self.embed.weight.t()


def orthogonal(g):
    """Nearly the orthogonal matrix nearest to g."""
    a, b, c = 3.4445, -4.7750, 2.0315
    x = g / (g.norm() + 1e-7)
    if tall := g.shape[0] > g.shape[1]:
        x = x.t()
    for _ in range(5):
        s = x @ x.t()
        x = a * x + (b * s + c * s @ s) @ x
    return x.t() if tall else x


class Muon:
    """Momentum made orthogonal, for the matrices inside of layers."""

    def __init__(self, params):
        self.params, self.state = params, [torch.zeros_like(p) for p in params]

    @torch.no_grad()
    def step(self, rate, decay):
        for p, m in zip(self.params, self.state):
            m.mul_(0.95).add_(p.grad)
            update = orthogonal(p.grad + 0.95 * m)
            p.mul_(1 - rate * decay).add_(update, alpha=-rate * 0.2 * math.sqrt(max(p.shape)))


def rows(talks, bpe, length):
    """Conversations laid end to end in rows, each row beginning with one."""
    end = bpe.special[talk.END]
    ids, learn = [], []
    for t in talks:
        for read, learnt in t:
            a, b = bpe.encode(read), bpe.encode(learnt)
            ids += a + b
            learn += [False] * len(a) + [True] * len(b)
        ids.append(end)
        learn.append(False)
        if len(ids) > length:
            yield ids[: length + 1], learn[: length + 1]
            ids, learn = [], []


def batches(talks, bpe, length):
    held = []
    for row in rows(talks, bpe, length):
        held.append(row)
        if len(held) == BATCH // length:
            ids = torch.tensor([i for i, _ in held])
            learn = torch.tensor([l for _, l in held])
            yield ids[:, :-1], ids[:, 1:], learn[:, 1:]
            held = []


@torch.no_grad()
def test(model, exams):
    """The mean loss of each sort of question, on answers never shown."""
    model.eval()
    out, total, n = {}, 0.0, 0
    for name, exam in exams.items():
        s, m = 0.0, 0
        for i in range(0, len(exam), 32):
            some = exam[i : i + 32]
            longest = max(len(ids) for ids, _ in some)
            x = torch.tensor([ids + [0] * (longest - len(ids)) for ids, _ in some])
            wanted = torch.tensor([learn + [False] * (longest - len(learn)) for _, learn in some])[:, 1:]
            s += F.cross_entropy(model(x[:, :-1], wanted), x[:, 1:][wanted], reduction="sum").item()
            m += int(wanted.sum())
        out[name] = s / m
        total, n = total + s, n + m
    model.train()
    return total / n, out


def exams(facts, bpe, path):
    """The questions of the test; also written down, for measuring the converted model."""
    r = random.Random(1)
    out = {}
    with open(path, "w") as file:
        for f in facts:
            read, learnt = talk.exchange(talk.ask(f, r), f.answer)
            a, b = bpe.encode(read), bpe.encode(learnt)
            out.setdefault(f.ask, []).append((a + b, [False] * len(a) + [True] * len(b)))
            file.write(json.dumps({"ask": f.ask, "read": read, "learnt": learnt, "tokens": len(b)}) + "\n")
    return out


@torch.no_grad()
def say(model, bpe, question):
    ids = bpe.encode(talk.exchange(question, "")[0])
    n = len(ids)
    while len(ids) < n + 60:
        x = torch.tensor([ids])
        wanted = torch.zeros_like(x, dtype=torch.bool)
        wanted[0, -1] = True
        ids.append(int(model(x, wanted).argmax()))
        if ids[-1] == bpe.special[talk.STOP]:
            break
    return bpe.decode(ids[n:])


NAMES = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "q": "self_attn.q_proj", "k": "self_attn.k_proj",
         "v": "self_attn.v_proj", "o": "self_attn.o_proj", "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"}


def hf_name(name):
    if name == "embed.weight":
        return "model.embed_tokens.weight"
    if name == "final_norm":
        return "model.norm.weight"
    _, layer, part = name.split(".", 2)
    return f"model.layers.{layer}.{NAMES[part.split('.')[0]]}.weight"


def save(state, bpe, out):
    """config.json, model.safetensors, tokenizer.json, tokenizer_config.json."""
    head, body = {"__metadata__": {"format": "pt"}}, []
    at = 0
    for name, t in state.items():
        b = struct.pack(f"<{t.numel()}f", *t.flatten().tolist())
        head[hf_name(name)] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [at, at + len(b)]}
        at += len(b)
        body.append(b)
    h = json.dumps(head).encode()
    h += b" " * (-len(h) % 8)
    write = lambda name, v: json.dump(v, open(os.path.join(out, name), "w"), indent=1)
    with open(os.path.join(out, "model.safetensors.new"), "wb") as f:
        f.write(struct.pack("<Q", len(h)) + h + b"".join(body))
    os.replace(os.path.join(out, "model.safetensors.new"), os.path.join(out, "model.safetensors"))
    bpe.save(os.path.join(out, "tokenizer.json"))
    write("config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": SHAPE["vocab"], "hidden_size": SHAPE["dim"],
        "intermediate_size": SHAPE["hidden"], "num_hidden_layers": SHAPE["layers"], "num_attention_heads": SHAPE["heads"],
        "num_key_value_heads": SHAPE["kv_heads"], "head_dim": HEAD, "max_position_embeddings": SHAPE["context"], "rms_norm_eps": EPS,
        "rope_theta": THETA, "hidden_act": "silu", "tie_word_embeddings": True, "attention_bias": False, "mlp_bias": False,
        "bos_token_id": None, "eos_token_id": [bpe.special[talk.STOP], bpe.special[talk.END]], "torch_dtype": "float32",
    })
    write("tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": talk.STOP, "add_bos_token": False, "chat_template": talk.TEMPLATE,
        "model_max_length": SHAPE["context"],
    })


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--wordnet", required=True)
    p.add_argument("--out", required=True)
    p.add_argument("--tokens", type=float, default=6e6)
    p.add_argument("--minutes", type=float, default=600)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--rate", type=float, default=0.007)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(7)
    os.makedirs(a.out, exist_ok=True)

    everything = wordnet.facts(a.wordnet, COMMON)
    shown = [f for f in everything if not f.held_out]
    kept = [f for f in everything if f.held_out]
    # The words in the questions of what is kept are known; its answers are not read.
    text = "".join(read + learnt for t in talk.epoch(shown, 0) for read, learnt in t)
    bpe = BPE.train(text, SHAPE["vocab"], [talk.END, talk.START, talk.STOP])
    print(f"{len(shown)} facts shown, {len(kept)} kept; {len(bpe.encode(text))} tokens an epoch", flush=True)
    exam = exams(kept, bpe, os.path.join(a.out, "kept.jsonl"))

    model = Llama()
    matrices = [p for n, p in model.named_parameters() if n.startswith("layers") and p.dim() == 2]
    others = [p for n, p in model.named_parameters() if not (n.startswith("layers") and p.dim() == 2)]
    muon, adam = Muon(matrices), torch.optim.AdamW(others, lr=1e-3, betas=(0.9, 0.95), weight_decay=0)
    print(f"{sum(p.numel() for p in model.parameters())} parameters", flush=True)

    checkpoint = os.path.join(a.out, "checkpoint.pt")
    done, number, best, spent = 0, 0, math.inf, 0.0
    if os.path.exists(checkpoint):
        c = torch.load(checkpoint)
        model.load_state_dict(c["model"])
        adam.load_state_dict(c["adam"])
        muon.state, done, number, best, spent = c["muon"], c["done"], c["number"], c["best"], c["spent"]
    began, last, recent = time.time() - spent, time.time(), []
    while True:
        part = max(done / a.tokens, (time.time() - began) / 60 / a.minutes)
        if part >= 1:
            break
        # Rows of the whole context only at the end: short ones cost less.
        number += 1
        for x, y, learn in batches(talk.epoch(shown, number), bpe, SHAPE["context"] if part > 0.85 else 128):
            part = max(done / a.tokens, (time.time() - began) / 60 / a.minutes)
            if part >= 1:
                break
            rate = min(1, (done + BATCH) / 2e5) * min(1, max(0.02, (1 - part) / 0.6))
            for g in adam.param_groups:
                g["lr"] = 3e-3 * rate
            loss = F.cross_entropy(model(x, learn), y[learn])
            model.zero_grad(set_to_none=True)
            loss.backward()
            muon.step(a.rate * rate, 0.05)
            adam.step()
            done += BATCH
            recent.append(loss.item())
            if time.time() - last > 240 or done == BATCH:
                last = time.time()
                mean, each = test(model, exam)
                minutes = (time.time() - began) / 60
                print(f"{minutes:.1f} min, {done / 1e6:.2f}M tokens, epoch {number}: loss {sum(recent) / len(recent):.3f}, kept {mean:.3f} "
                      + " ".join(f"{k} {v:.2f}" for k, v in sorted(each.items())), flush=True)
                for q in ("What is a violin?", "What is the opposite of hot?"):
                    print("   ", q, "→", say(model, bpe, q), flush=True)
                recent = []
                torch.save({"model": model.state_dict(), "adam": adam.state_dict(), "muon": muon.state, "done": done, "number": number,
                            "best": min(best, mean), "spent": time.time() - began}, checkpoint + ".new")
                os.replace(checkpoint + ".new", checkpoint)
                if mean < best:
                    best = mean
                    save(model.state_dict(), bpe, a.out)
    mean, each = test(model, exam)
    if mean < best:
        best = mean
        save(model.state_dict(), bpe, a.out)
    report = {"tokens": done, "minutes": round((time.time() - began) / 60, 1), "facts_shown": len(shown), "facts_kept": len(kept),
              "loss": best, "loss_at_the_end": mean, "of_each_at_the_end": {k: round(v, 4) for k, v in sorted(each.items())}}
    json.dump(report, open(os.path.join(a.out, "training.json"), "w"), indent=1)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
