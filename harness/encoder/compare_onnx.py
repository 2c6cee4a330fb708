#!/usr/bin/env python3
"""Is the dense pass a strawman? The same encoder in ONNX Runtime, on the same machine, threads and precision.

    python3 harness/encoder/compare_onnx.py --program build/harness/fflab --preset bert-base --batch 8 --seq 128 --threads 1

Runs both in turn, several times, and prints the milliseconds of a pass with and without the logits. Needs the packages
numpy, onnx and onnxruntime. Weights are random on both sides: only the time is compared.
"""
import argparse
import json
import subprocess
import time

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

PRESETS = {  # layers, width, heads, neurons, words, pre-norm (no biases, no head transform)
    "bert-base": (12, 768, 12, 3072, 30522, False),
    "bert-large": (24, 1024, 16, 4096, 30522, False),
    "crammedbert-3072": (16, 768, 12, 3072, 32768, True),
    "crammedbert-4095": (16, 768, 12, 4095, 32768, True),
}


class Graph:
    """Nodes and weights of a model, named as they come."""

    def __init__(self):
        self.nodes, self.weights, self.random = [], [], np.random.default_rng(1)

    def op(self, kind, *inputs, **attributes):
        name = "v%d" % len(self.nodes)
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, array):
        name = "w%d" % len(self.weights)
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def normal(self, *shape):
        scale = 1 / np.sqrt(shape[0])
        return self.constant(self.random.standard_normal(shape, dtype=np.float32) * np.float32(scale))

    def linear(self, x, inputs, outputs, bias):
        y = self.op("MatMul", x, self.normal(inputs, outputs))
        return self.op("Add", y, self.constant(np.zeros(outputs, np.float32))) if bias else y

    def norm(self, x, width):
        return self.op("LayerNormalization", x, self.constant(np.ones(width, np.float32)),
                       self.constant(np.zeros(width, np.float32)), axis=-1, epsilon=1e-12)


def build(preset, batch, seq, logits):
    layers, width, heads, neurons, words, pre = PRESETS[preset]
    g, d = Graph(), width // heads
    split = g.constant(np.array([batch, seq, heads, d], np.int64))
    join = g.constant(np.array([batch, seq, width], np.int64))
    scale = g.constant(np.array(1 / np.sqrt(d), np.float32))

    def attention(x):
        q, k, v = (g.op("Reshape", g.linear(x, width, width, not pre), split) for _ in range(3))
        q, v = (g.op("Transpose", t, perm=[0, 2, 1, 3]) for t in (q, v))
        k = g.op("Transpose", k, perm=[0, 2, 3, 1])
        p = g.op("Softmax", g.op("Mul", g.op("MatMul", q, k), scale), axis=-1)
        mixed = g.op("Transpose", g.op("MatMul", p, v), perm=[0, 2, 1, 3])
        return g.linear(g.op("Reshape", mixed, join), width, width, not pre)

    def feedforward(x):
        return g.linear(g.op("Gelu", g.linear(x, width, neurons, not pre)), neurons, width, not pre)

    s = g.op("Gather", g.normal(words, width), "ids", axis=0)
    s = g.norm(g.op("Add", s, g.normal(seq, width)), width)
    for _ in range(layers):
        if pre:
            s = g.op("Add", s, attention(g.norm(s, width)))
            s = g.op("Add", s, feedforward(g.norm(s, width)))
        else:
            s = g.norm(g.op("Add", s, attention(s)), width)
            s = g.norm(g.op("Add", s, feedforward(s)), width)
    if pre:
        s = g.norm(s, width)
    if logits:
        if not pre:
            s = g.norm(g.op("Gelu", g.linear(s, width, width, True)), width)
        s = g.linear(s, width, words, not pre)
    g.nodes.append(helper.make_node("Identity", [s], ["out"]))
    graph = helper.make_graph(g.nodes, preset, [helper.make_tensor_value_info("ids", TensorProto.INT64, [batch, seq])],
                              [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)], g.weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def session(model, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def passes(run, ids, count):
    run.run(None, {"ids": ids})
    times = []
    for _ in range(count):
        start = time.perf_counter()
        run.run(None, {"ids": ids})
        times.append(1e3 * (time.perf_counter() - start))
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--program", default="build/harness/fflab")
    parser.add_argument("--preset", choices=PRESETS, default="bert-base")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seq", type=int, default=128)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    command = [a.program, "encoder", "--preset", a.preset, "--batch", str(a.batch), "--seq", str(a.seq), "--threads",
               str(a.threads), "--json", "-v", "ff_blas3_openblas"]
    ids = np.random.default_rng(1).integers(0, PRESETS[a.preset][4], (a.batch, a.seq))
    ours, theirs = {True: [], False: []}, {True: [], False: []}
    name = ""
    for _ in range(a.rounds):
        rows = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["rows"]
        best = min(rows, key=lambda row: row.get("pass_ns", float("inf")))
        name = best["variant"]
        ours[True].append(best["pass_ns"] / 1e6)
        ours[False].append(best["body_ns"] / 1e6)
        for logits in (True, False):
            run = session(build(a.preset, a.batch, a.seq, logits), a.threads)
            theirs[logits] += passes(run, ids, 3)
            del run
    print("%s, %d x %d tokens, %d threads, f32; ms per pass, median (least) of %d rounds" %
          (a.preset, a.batch, a.seq, a.threads, a.rounds))
    for logits in (False, True):
        mine, other = np.median(ours[logits]), np.median(theirs[logits])
        print("  %-15s  fflab %s %9.1f (%.1f)   ONNX Runtime %s %9.1f (%.1f)   ratio %.2f" %
              ("with logits" if logits else "without logits", name, mine, min(ours[logits]), onnxruntime.__version__, other,
               min(theirs[logits]), other / mine))


if __name__ == "__main__":
    main()
