"""What compare_torch.py and compare_onnx.py share: a dense encoder with random weights as a checkpoint folder that
`fflab encoder` reads, fflab's own times and outputs for it, and the table. Needs NumPy.
"""
import argparse
import contextlib
import fcntl
import json
import os
import shutil
import struct
import subprocess
import tempfile
import time
from collections import namedtuple

import numpy as np

Model = namedtuple("Model", "layers width heads neurons words positions pre")  # pre: pre-norm, no biases, no transform
PRESETS = {
    "bert-base": Model(12, 768, 12, 3072, 30522, 512, False),
    "bert-large": Model(24, 1024, 16, 4096, 30522, 512, False),
    "crammedbert-3072": Model(16, 768, 12, 3072, 32768, 512, True),
    "crammedbert-4095": Model(16, 768, 12, 4095, 32768, 512, True),
}
EPS = 1e-12


def make_weights(m, seed=1):
    """Arrays by short names: words, positions, then per layer qkv, projection, in, out, norm1, norm2. Matrices are
    [outputs, inputs], `qkv` is [q; k; v]; norms and biases exist where the model has them."""
    rng, w = np.random.default_rng(seed), {}

    def matrix(name, rows, columns, scale=None):
        w[name] = rng.standard_normal((rows, columns), dtype=np.float32) * np.float32(scale or 1 / np.sqrt(columns))

    def linear(name, outputs, inputs):
        matrix(name, outputs, inputs)
        if not m.pre:
            w[name + ".bias"] = rng.normal(0, 0.1, outputs).astype(np.float32)

    def norm(name):
        w[name] = rng.normal(1, 0.1, m.width).astype(np.float32)
        w[name + ".bias"] = rng.normal(0, 0.1, m.width).astype(np.float32)

    matrix("words", m.words, m.width)
    if m.pre:  # scale_factor · (sin on even, cos on odd columns), in float as the model computes it
        rate = np.exp(np.arange(0, m.width, 2, dtype=np.float32) * np.float32(-np.log(10000.0) / m.width))
        angle = np.arange(m.positions, dtype=np.float32)[:, None] * rate
        w["scale"] = np.float32(1 / np.sqrt(m.width))
        w["positions"] = np.stack([np.sin(angle), np.cos(angle)], -1).reshape(m.positions, m.width) * w["scale"]
    else:
        matrix("positions", m.positions, m.width)
        matrix("types", 2, m.width)
    norm("norm")
    for i in range(m.layers):
        linear("%d.qkv" % i, 3 * m.width, m.width)
        linear("%d.projection" % i, m.width, m.width)
        linear("%d.in" % i, m.neurons, m.width)
        linear("%d.out" % i, m.width, m.neurons)
        norm("%d.norm1" % i)
        norm("%d.norm2" % i)
    if m.pre:
        norm("final_norm")
    else:
        linear("transform", m.width, m.width)
        norm("transform_norm")
        w["logits.bias"] = rng.normal(0, 0.1, m.words).astype(np.float32)
    return w


def bert_tensors(m, w):
    def take(ours, theirs, bias="bias"):
        yield theirs + ".weight", w[ours]
        yield theirs + "." + bias, w[ours + ".bias"]

    yield "bert.embeddings.word_embeddings.weight", w["words"]
    yield "bert.embeddings.position_embeddings.weight", w["positions"]
    yield "bert.embeddings.token_type_embeddings.weight", w["types"]
    yield from take("norm", "bert.embeddings.LayerNorm")
    for i in range(m.layers):
        ours, theirs = "%d." % i, "bert.encoder.layer.%d." % i
        for part, name in enumerate(("query", "key", "value")):
            rows = slice(part * m.width, (part + 1) * m.width)
            yield theirs + "attention.self.%s.weight" % name, w[ours + "qkv"][rows]
            yield theirs + "attention.self.%s.bias" % name, w[ours + "qkv.bias"][rows]
        yield from take(ours + "projection", theirs + "attention.output.dense")
        yield from take(ours + "norm1", theirs + "attention.output.LayerNorm")
        yield from take(ours + "in", theirs + "intermediate.dense")
        yield from take(ours + "out", theirs + "output.dense")
        yield from take(ours + "norm2", theirs + "output.LayerNorm")
    yield from take("transform", "cls.predictions.transform.dense")
    yield from take("transform_norm", "cls.predictions.transform.LayerNorm")
    yield "cls.predictions.bias", w["logits.bias"]


def crammed_tensors(m, w):
    def norm(ours, theirs):
        yield theirs + ".weight", w[ours]
        yield theirs + ".bias", w[ours + ".bias"]

    d = m.width // m.heads
    yield "encoder.embedding.word_embedding.weight", w["words"]
    yield "encoder.embedding.pos_embedding.scale_factor", np.full(1, w["scale"])
    yield from norm("norm", "encoder.embedding.norm")
    for i in range(m.layers):
        ours, theirs = "%d." % i, "encoder.layers.%d." % i
        grouped = w[ours + "qkv"].reshape(3, m.heads, d, m.width).transpose(1, 0, 2, 3)  # rows per head: q, k, v
        yield theirs + "attn.self_attention.norm_factor", np.array(1 / np.sqrt(d), np.float32)
        yield theirs + "attn.self_attention.query_key_value.weight", grouped.reshape(3 * m.width, m.width)
        yield theirs + "attn.dense.weight", w[ours + "projection"]
        yield theirs + "ffn.dense_in.weight", w[ours + "in"]
        yield theirs + "ffn.dense_out.weight", w[ours + "out"]
        yield from norm(ours + "norm1", theirs + "norm1")
        yield from norm(ours + "norm2", theirs + "norm2")
    yield from norm("final_norm", "encoder.final_norm")


def write_checkpoint(folder, m, w):
    tensors = dict(crammed_tensors(m, w) if m.pre else bert_tensors(m, w))
    header, at = {}, 0
    for name, array in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [at, at + 4 * array.size]}
        at += 4 * array.size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(os.path.join(folder, "model.safetensors"), "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in tensors.values():
            file.write(np.ascontiguousarray(array, "<f4").tobytes())
    if m.pre:
        config = {"arch": {"num_transformer_layers": m.layers, "hidden_size": m.width, "intermed_type": "ff",
                           "intermed_size": m.neurons, "norm_eps": EPS,
                           "attention": {"num_attention_heads": m.heads},
                           "embedding": {"vocab_size": m.words, "max_seq_length": m.positions}}}
    else:
        config = {"model_type": "bert", "num_hidden_layers": m.layers, "hidden_size": m.width,
                  "num_attention_heads": m.heads, "intermediate_size": m.neurons, "vocab_size": m.words,
                  "max_position_embeddings": m.positions, "layer_norm_eps": EPS, "hidden_act": "gelu"}
    with open(os.path.join(folder, "config.json"), "w") as file:
        json.dump(config, file)


class Fflab:
    """The dense pass of `fflab encoder` on that checkpoint, by its fastest dense variant."""

    def __init__(self, arguments, folder):
        self.folder, self.times, self.name = folder, {True: [], False: []}, ""
        self.command = [arguments.program, "encoder", "--checkpoint", folder, "--tokens",
                        os.path.join(folder, "ids.npy"), "--threads", str(arguments.threads), "--json", "-v",
                        arguments.variant, "--out", os.path.join(folder, "results")]

    def run(self, *more):
        done = subprocess.run(self.command + list(more), capture_output=True, text=True)
        if done.returncode:
            raise SystemExit("fflab: " + (done.stderr or done.stdout))
        answer = json.loads(done.stdout)
        self.products = answer["model"]["projections"]
        return answer["rows"]

    def outputs(self):
        out = os.path.join(self.folder, "out")
        self.run("--dump", out)
        return {logits: np.load(os.path.join(out, "logits.npy" if logits else "encoder.npy")) for logits in (True, False)}

    def round(self):
        best = min((row for row in self.run() if "pass_ns" in row), key=lambda row: row["pass_ns"])
        self.name, self.parts = best["variant"], best["parts_ns"]
        self.times[True].append(best["pass_ns"] / 1e6)
        self.times[False].append(best["body_ns"] / 1e6)


def difference(got, want):
    """Largest difference over the largest value."""
    return float(np.abs(got - want).max() / np.abs(want).max())


def parse(description):
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--program", default="build/harness/fflab")
    parser.add_argument("--variant", default="ff_tiled_avx512", help="dense variant of fflab, beside its baseline")
    parser.add_argument("--preset", choices=PRESETS, default="bert-base")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seq", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=5, help="of the other program, per round")
    parser.add_argument("--cpus", default="", help="pin what is timed: 1, or 0,1")
    parser.add_argument("--lock", default="", help="a file to lock during every measurement, for a shared machine")
    return parser.parse_args()


@contextlib.contextmanager
def measuring(arguments):
    """Holds the lock, on the processors asked for."""
    before = os.sched_getaffinity(0)
    with contextlib.ExitStack() as stack:
        if arguments.lock:
            file = stack.enter_context(open(arguments.lock, "a"))
            fcntl.flock(file, fcntl.LOCK_EX)
        if arguments.cpus:
            os.sched_setaffinity(0, {int(cpu) for cpu in arguments.cpus.split(",")})
            stack.callback(os.sched_setaffinity, 0, before)
        yield


def time_passes(run, count):
    run()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        times.append(1e3 * (time.perf_counter() - start))
    return times


def compare(arguments, title, prepare):
    """prepare(model, weights, ids) gives {form of the other program: {logits or not: its pass}}; a pass returns the
    output as an array. Prints how far the outputs are apart and the milliseconds of a pass."""
    a, m = arguments, PRESETS[arguments.preset]
    folder = tempfile.mkdtemp(prefix="fflab-compare-")
    try:
        weights = make_weights(m)
        ids = np.random.default_rng(1).integers(0, m.words, (a.batch, a.seq))
        np.save(os.path.join(folder, "ids.npy"), ids)
        write_checkpoint(folder, m, weights)
        ours = Fflab(a, folder)
        want = ours.outputs()
        forms = prepare(m, weights, ids)
        theirs = {form: {True: [], False: []} for form in forms}
        for form, passes in forms.items():
            print("%s: outputs differ by %.1e of their scale, logits by %.1e" %
                  (form, difference(passes[False](), want[False]), difference(passes[True](), want[True])), flush=True)
        for _ in range(a.rounds):
            with measuring(a):
                ours.round()
            for form, passes in forms.items():
                for logits in (False, True):
                    with measuring(a):
                        theirs[form][logits] += time_passes(passes[logits], a.passes)
    finally:
        shutil.rmtree(folder)
    print("%s, %d x %d tokens, %d thread%s, f32, %s; ms per pass, median (least) of %d rounds" %
          (a.preset, a.batch, a.seq, a.threads, "s" if a.threads > 1 else "", title, a.rounds))
    print("  fflab's products by %s; parts: " % ours.products + ", ".join("%s %.1f" % (part, ns / 1e6) for part, ns in ours.parts.items()))
    for logits in (False, True):
        mine = np.median(ours.times[logits])
        print("  %-15s fflab %s %.1f (%.1f)" % ("with logits" if logits else "without logits", ours.name, mine,
                                               min(ours.times[logits])))
        for form, times in theirs.items():
            other = np.median(times[logits])
            print("  %-15s %s %.1f (%.1f): %.2f of fflab's time" % ("", form, other, min(times[logits]), other / mine))
