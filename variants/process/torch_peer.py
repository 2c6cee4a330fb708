#!/usr/bin/env python3
"""Feedforward layers in PyTorch, as a process variant (harness/peers/README.md): torch.json and torch_bf16.json say which,
torch_layers.py has them.

bf16: weights and inputs as multiplied, logits, activations and outputs are bf16, sums are float. Rows arrive as float and are
converted before the clock starts, as in a model whose activations are bf16 anyway.
"""
import glob
import importlib.metadata
import json
import sys
import time


class Unsupported(Exception):
    pass


GATHERED_MAX = 2 << 30  # bytes


def read_weights(path):
    import numpy as np

    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        start = file.tell()
    header.pop("__metadata__", None)
    return {name: np.fromfile(path, "<f4", count=(t["data_offsets"][1] - t["data_offsets"][0]) // 4,
                              offset=start + t["data_offsets"][0]).reshape(t["shape"]) for name, t in header.items()}


def check_without_torch(problem, arguments):
    """What can be said before seconds go into loading PyTorch."""
    version = importlib.metadata.version("torch")
    if arguments["compile"] and int(version.split(".")[0]) < 2:
        raise Unsupported("PyTorch %s has no torch.compile" % version)
    gathers = arguments["form"] == "gather" or (arguments["form"] == "loop" and problem["trees"])  # gates of a path
    if gathers and arguments["type"] == "bf16" and int(version.split(".")[0]) < 2:
        raise Unsupported("PyTorch %s sums small batched products of bf16 in bf16, not in float" % version)
    if arguments["device"] == "cuda" and not glob.glob("/dev/nvidia[0-9]*"):
        raise Unsupported("no CUDA device")
    weights = problem["neurons"] * (problem["width_in"] + problem["width_out"])
    if arguments["compile"] and weights < arguments.get("smallest", 1 << 20):
        raise Unsupported("too small a layer to compile for: it takes 15 s, and as long for each further size")
    rows = problem["max_tokens"] * (2 if arguments["type"] == "bf16" else 4)
    gathered, logits = rows * elements_gathered(problem), rows * problem["neurons"]
    if arguments["form"] == "gather" and gathered > GATHERED_MAX:
        raise Unsupported("would gather %.0f GB of weights at once" % (gathered / 1e9))
    if arguments["form"] == "masked" and logits > GATHERED_MAX:
        raise Unsupported("would keep %.0f GB of logits at once" % (logits / 1e9))


def elements_gathered(problem):
    """Per token, for the largest of the products."""
    if problem["experts"]:
        return problem["chosen"] * problem["expert_width"] * max(problem["width_in"], problem["width_out"])
    return problem["trees"] * max(problem["width_in"], (problem["depth"] + 1) * problem["width_out"])


def cpu_capability(torch):
    """"AVX512": what its own kernels use; "" where the version does not tell."""
    cpu = getattr(torch.backends, "cpu", None)
    return cpu.get_cpu_capability() if hasattr(cpu, "get_cpu_capability") else ""


class Prepared:
    def __init__(self, request):
        problem, arguments = request["problem"], request["arguments"]
        check_without_torch(problem, arguments)
        import torch
        import torch_layers

        if arguments["device"] == "cuda" and not torch.cuda.is_available():
            raise Unsupported("PyTorch %s sees no CUDA device" % torch.__version__)
        torch.set_num_threads(problem["threads"])
        if torch.get_num_interop_threads() != 1:  # can be set once
            torch.set_num_interop_threads(1)
        torch.set_grad_enabled(False)
        self.torch, self.device, self.max_tokens = torch, arguments["device"], problem["max_tokens"]
        self.width = problem["width_in"]
        self.layer, self.kind = torch_layers.make_layer(problem, arguments, read_weights(request["weights"]))
        self.static = self.dynamic = None
        self.seen = set()
        if arguments["compile"]:
            self.compile()
        self.warm_up(self.max_tokens)

    def compile(self):
        import torch_compiled

        torch_compiled.reset(freezing=True)
        self.static = torch_compiled.Compiled(self.layer)
        self.dynamic = torch_compiled.Compiled(self.layer, dynamic=True)

    def function(self, tokens):
        """Compiled for the batch it was prepared for; any other size shares a graph for all sizes."""
        if not self.static:
            return self.layer
        return (self.static if tokens == self.max_tokens else self.dynamic).function

    def warm_up(self, tokens):
        if tokens in self.seen:
            return
        x = self.torch.zeros(tokens, self.width, dtype=self.kind, device=self.device)
        with self.torch.inference_mode():
            if self.static:
                (self.static if tokens == self.max_tokens else self.dynamic).warm_up(x)
            else:
                self.layer(x)
        self.seen.add(tokens)

    def ready(self):
        torch = self.torch
        where = torch.cuda.get_device_name() if self.device == "cuda" else cpu_capability(torch)
        notes = "%d graph compiled, 0 breaks" % self.static.graphs if self.static else "eager"
        return {"ready": True, "version": ("PyTorch %s %s" % (torch.__version__, where)).strip()[:100], "notes": notes}

    def graphs(self):
        import torch_compiled

        return torch_compiled.graphs_compiled() if self.static else 0

    def time_host(self, function, x):
        start = time.perf_counter_ns()
        y = function(x)
        return y, time.perf_counter_ns() - start, None

    def time_device(self, function, x):
        cuda = self.torch.cuda
        first, last = cuda.Event(enable_timing=True), cuda.Event(enable_timing=True)
        cuda.synchronize()
        start = time.perf_counter_ns()
        first.record()
        y = function(x)
        last.record()
        cuda.synchronize()
        return y, time.perf_counter_ns() - start, 1e6 * first.elapsed_time(last)

    def run(self, request):
        import numpy as np

        torch, tokens = self.torch, request["tokens"]
        x = torch.from_numpy(np.load(request["input"])).to(self.kind).to(self.device)
        self.warm_up(tokens)
        before, function = self.graphs(), self.function(tokens)
        clock = self.time_device if self.device == "cuda" else self.time_host
        with torch.inference_mode():
            done = [clock(function, part) for part in x.split(tokens)]
        if self.graphs() != before:
            return {"error": "compiled again while it was timed"}
        np.save(request["output"], torch.cat([y for y, _, _ in done]).float().cpu().numpy())
        reply = {"ns": [ns for _, ns, _ in done]}
        if self.device == "cuda":
            reply["device_ns"] = [ns for _, _, ns in done]
        return reply


def answer(message, prepared):
    """The reply, and what is prepared from now on."""
    if "run" in message:
        return prepared.run(message["run"]), prepared
    try:
        prepared = Prepared(message["prepare"])
        return prepared.ready(), prepared
    except Unsupported as why:
        return {"unsupported": str(why)}, None
    except Exception as error:
        if type(error).__name__ == "NotCompiled":
            return {"unsupported": str(error)}, None
        raise


def main():
    out, prepared = sys.stdout, None
    sys.stdout = sys.stderr  # what a library prints is no reply
    for line in sys.stdin:
        message = json.loads(line)
        if "quit" in message:
            break
        if "prepare" in message:
            prepared = None  # its memory first
        try:
            reply, prepared = answer(message, prepared)
        except Exception as error:
            reply = {"error": "%s: %s" % (type(error).__name__, str(error).strip().split("\n")[0][:300])}
        print(json.dumps(reply), file=out, flush=True)


main()
