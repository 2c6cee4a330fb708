#!/usr/bin/env python3
"""Is the dense pass a strawman? The same encoder in PyTorch, on the same machine, with the same threads, weights and ids.

    python3 harness/encoder/compare_torch.py --preset bert-base --batch 8 --seq 128 --threads 1

PyTorch as fast as it goes: inference mode, one product for q, k and v, its fused attention; eager, compiled, and
compiled with frozen weights (packed for the library that multiplies). Both programs take turns. Needs the packages
numpy and torch, and a C++ compiler for the compiled forms.
"""
import os
import sys

try:
    import torch
    from torch.nn import functional as F
except ImportError:
    sys.exit("compare_torch.py needs PyTorch: python3 -m pip install torch numpy")

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "variants", "process"))
import compare_common as common
import torch_compiled


class Encoder(torch.nn.Module):
    def __init__(self, m, weights, logits):
        super().__init__()
        self.m, self.logits, self.names = m, logits, {}
        for i, (name, array) in enumerate(weights.items()):
            if name != "scale":
                self.names[name] = "w%d" % i
                self.register_parameter("w%d" % i, torch.nn.Parameter(torch.from_numpy(array), requires_grad=False))

    def weight(self, name):
        return getattr(self, self.names[name]) if name in self.names else None

    def linear(self, x, name):
        return F.linear(x, self.weight(name), self.weight(name + ".bias"))

    def norm(self, x, name):
        return F.layer_norm(x, (self.m.width,), self.weight(name), self.weight(name + ".bias"), common.EPS)

    def attention(self, x, i):
        batch, seq, width = x.shape
        qkv = self.linear(x, "%d.qkv" % i).view(batch, seq, 3, self.m.heads, width // self.m.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.linear(mixed.transpose(1, 2).reshape(batch, seq, width), "%d.projection" % i)

    def feedforward(self, x, i):
        return self.linear(F.gelu(self.linear(x, "%d.in" % i)), "%d.out" % i)

    def forward(self, ids):
        s = F.embedding(ids, self.weight("words")) + self.weight("positions")[:ids.shape[1]]
        if not self.m.pre:
            s = s + self.weight("types")[0]
        s = self.norm(s, "norm")
        for i in range(self.m.layers):
            if self.m.pre:
                s = s + self.attention(self.norm(s, "%d.norm1" % i), i)
                s = s + self.feedforward(self.norm(s, "%d.norm2" % i), i)
            else:
                s = self.norm(s + self.attention(s, i), "%d.norm1" % i)
                s = self.norm(s + self.feedforward(s, i), "%d.norm2" % i)
        if self.m.pre:
            s = self.norm(s, "final_norm")
        if not self.logits:
            return s
        if not self.m.pre:
            s = self.norm(F.gelu(self.linear(s, "transform")), "transform_norm")
        return F.linear(s, self.weight("words"), self.weight("logits.bias"))


def compiled(module, ids, freezing):
    torch_compiled.reset(freezing)
    form = torch_compiled.Compiled(module)
    form.warm_up(ids)
    return form.function


def prepare(m, weights, ids):
    ids = torch.from_numpy(ids)
    modules = {logits: Encoder(m, weights, logits).eval() for logits in (False, True)}
    forms = {"eager": {logits: module for logits, module in modules.items()}}
    for form, freezing in (("compiled", False), ("compiled, frozen", True)):
        try:
            forms[form] = {logits: compiled(module, ids, freezing) for logits, module in modules.items()}
        except torch_compiled.NotCompiled as error:  # no compiler, or a form that this version does not have
            print("%s does not work here: %s" % (form, str(error).strip().split("\n")[0]))
    return {"PyTorch %s, %s" % (torch.__version__, form): {logits: (lambda f=f: f(ids).numpy()) for logits, f in passes.items()}
            for form, passes in forms.items()}


def main():
    arguments = common.parse(__doc__.split("\n", 1)[0])
    torch.set_num_threads(arguments.threads)
    with torch.inference_mode():
        common.compare(arguments, "PyTorch with " + torch.backends.cpu.get_cpu_capability(), prepare)


if __name__ == "__main__":
    main()
