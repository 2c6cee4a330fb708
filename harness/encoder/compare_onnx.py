#!/usr/bin/env python3
"""Is the dense pass a strawman? The same encoder in ONNX Runtime, on the same machine, with the same threads, weights and ids.

    python3 harness/encoder/compare_onnx.py --preset bert-base --batch 8 --seq 128 --threads 1

Both programs take turns. Needs the packages numpy, onnx and onnxruntime.
"""
import os
import sys
import tempfile

try:
    import numpy as np
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper, numpy_helper
except ImportError as missing:
    sys.exit("compare_onnx.py: %s; python3 -m pip install numpy onnx onnxruntime" % missing)

import compare_common as common


class Graph:
    """Nodes, named as they come, over the weights by their names."""

    def __init__(self, weights):
        self.nodes, self.weights, self.constants = [], weights, {}

    def op(self, kind, *inputs, **attributes):
        name = "v%d" % len(self.nodes)
        self.nodes.append(helper.make_node(kind, inputs, [name], **attributes))
        return name

    def constant(self, name, array):
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(array), name)
        return name

    def linear(self, x, name, rows=slice(None)):
        label = name if rows == slice(None) else "%s[%d]" % (name, rows.start)
        y = self.op("MatMul", x, self.constant(label, self.weights[name][rows].T))
        if name + ".bias" in self.weights:
            y = self.op("Add", y, self.constant(label + ".bias", self.weights[name + ".bias"][rows]))
        return y

    def norm(self, x, name):
        return self.op("LayerNormalization", x, self.constant(name, self.weights[name]),
                       self.constant(name + ".bias", self.weights[name + ".bias"]), axis=-1, epsilon=common.EPS)


def build(m, weights, batch, seq, logits):
    g, d = Graph(weights), m.width // m.heads
    split = g.constant("split", np.array([batch, seq, m.heads, d], np.int64))
    join = g.constant("join", np.array([batch, seq, m.width], np.int64))
    scale = g.constant("scale", np.array(1 / np.sqrt(d), np.float32))

    def attention(x, i):
        q, k, v = (g.op("Reshape", g.linear(x, "%d.qkv" % i, slice(p * m.width, (p + 1) * m.width)), split) for p in range(3))
        q, v = (g.op("Transpose", t, perm=[0, 2, 1, 3]) for t in (q, v))
        k = g.op("Transpose", k, perm=[0, 2, 3, 1])
        p = g.op("Softmax", g.op("Mul", g.op("MatMul", q, k), scale), axis=-1)
        mixed = g.op("Transpose", g.op("MatMul", p, v), perm=[0, 2, 1, 3])
        return g.linear(g.op("Reshape", mixed, join), "%d.projection" % i)

    def feedforward(x, i):
        return g.linear(g.op("Gelu", g.linear(x, "%d.in" % i)), "%d.out" % i)

    place = weights["positions"][:seq] + (0 if m.pre else weights["types"][0])
    s = g.op("Gather", g.constant("words", weights["words"]), "ids", axis=0)
    s = g.norm(g.op("Add", s, g.constant("place", place)), "norm")
    for i in range(m.layers):
        if m.pre:
            s = g.op("Add", s, attention(g.norm(s, "%d.norm1" % i), i))
            s = g.op("Add", s, feedforward(g.norm(s, "%d.norm2" % i), i))
        else:
            s = g.norm(g.op("Add", s, attention(s, i)), "%d.norm1" % i)
            s = g.norm(g.op("Add", s, feedforward(s, i)), "%d.norm2" % i)
    if m.pre:
        s = g.norm(s, "final_norm")
    if logits:
        if not m.pre:
            s = g.norm(g.op("Gelu", g.linear(s, "transform")), "transform_norm")
        s = g.op("MatMul", s, g.constant("decoder", weights["words"].T))
        if not m.pre:
            s = g.op("Add", s, g.constant("logits.bias", weights["logits.bias"]))
    g.nodes.append(helper.make_node("Identity", [s], ["out"]))
    graph = helper.make_graph(g.nodes, "encoder", [helper.make_tensor_value_info("ids", TensorProto.INT64, [batch, seq])],
                              [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)], list(g.constants.values()))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def session(model, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    with tempfile.TemporaryDirectory() as folder:  # crammedBERT's weights come close to what one message may hold
        path = os.path.join(folder, "model.onnx")
        onnx.save(model, path, save_as_external_data=True)
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def main():
    arguments = common.parse(__doc__.split("\n", 1)[0])

    def prepare(m, weights, ids):
        runs = {logits: session(build(m, weights, arguments.batch, arguments.seq, logits), arguments.threads)
                for logits in (False, True)}
        return {"ONNX Runtime %s" % onnxruntime.__version__:
                {logits: (lambda run=run: run.run(None, {"ids": ids})[0]) for logits, run in runs.items()}}

    common.compare(arguments, "ONNX Runtime", prepare)


if __name__ == "__main__":
    main()
