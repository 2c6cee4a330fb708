"""A process variant in the standard library alone, that can also do everything wrong: arguments.mode says what."""
import array
import json
import math
import os
import signal
import sys
import time

ACTIVATIONS = {"gelu": lambda z: z * 0.5 * math.erfc(-z / math.sqrt(2)) if math.isfinite(z) else max(z, -z * 0),
               "relu": lambda z: max(z, 0.0)}


SEEN = set()  # folders that a call has come from


def read_weights(path):
    with open(path, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        data = file.read()
    tensors = {}
    for name, tensor in header.items():
        if name != "__metadata__":
            tensors[name] = array.array("f", data[slice(*tensor["data_offsets"])])
    return tensors


def read_rows(path, width):
    with open(path, "rb") as file:
        assert file.read(8) == b"\x93NUMPY\x01\x00"
        file.read(int.from_bytes(file.read(2), "little"))
        values = array.array("f", file.read())
    return [values[i:i + width] for i in range(0, len(values), width)]


def write_rows(path, rows, kind="<f4"):
    header = "{'descr': '%s', 'fortran_order': False, 'shape': (%d, %d), }" % (kind, len(rows), len(rows[0]))
    header += " " * (-(len(header) + 11) % 64) + "\n"
    with open(path, "wb") as file:
        file.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode())
        for row in rows:
            file.write(array.array("f", row).tobytes())


def neurons_of(p, w, x):
    """Those that the token's paths visit, or all, each with its logit."""
    def logit(n):
        row = w["linear_in.weight"][n * p["width_in"]:(n + 1) * p["width_in"]]
        return math.fsum(a * b for a, b in zip(x, row)) + w["linear_in.bias"][n]

    if p["operation"] == "ff":
        return [(n, logit(n)) for n in range(p["neurons"])]
    visited, nodes = [], p["neurons"] // p["trees"]
    for tree in range(p["trees"]):
        node = 0
        for _ in range(p["depth"] + 1):
            z = logit(tree * nodes + node)
            visited.append((tree * nodes + node, z))
            node = 2 * node + 1 + (z > 0)
    return visited


def evaluate(p, w, x):
    act, hidden = ACTIVATIONS[p["activation"]], neurons_of(p, w, x)
    out = w["linear_out.weight"]
    bias = w.get("linear_out.bias")
    return [math.fsum([act(z) * out[j * p["neurons"] + n] for n, z in hidden] + ([bias[j]] if bias else []))
            for j in range(p["width_out"])]


def run(p, w, mode, request):
    rows, tokens, ns = read_rows(request["input"], p["width_in"]), request["tokens"], []
    assert len(rows) == tokens * request["repetitions"] and tokens <= p["max_tokens"]
    if mode == "crash" or (mode == "crash_of_three" and tokens == 3):
        print("about to fall", file=sys.stderr)
        os.kill(os.getpid(), signal.SIGSEGV)
    if mode == "sleep":
        time.sleep(600)
    y = []
    for i in range(request["repetitions"]):
        start = time.perf_counter_ns()
        y += [evaluate(p, w, x) for x in rows[i * tokens:(i + 1) * tokens]]
        ns.append(time.perf_counter_ns() - start)
    if mode == "wrong":
        y[-1][0] += 1
    if mode == "wrong_in_bursts" and request["repetitions"] > 1:
        y[0][0] += 1
    if mode == "short":
        y = y[:-1] or [[0.0]] * 7
    if mode != "silent" and not (mode == "stale" and request["input"] in SEEN):
        write_rows(request["output"], y, "<i4" if mode == "integers" else "<f4")
    SEEN.add(request["input"])
    if mode == "chatty":
        sys.stderr.write("x" * 300000)
        sys.stderr.flush()
    return {"lying": {"ns": [n + 10**12 for n in ns]}, "negative": {"ns": [-n for n in ns]}, "zero": {"ns": [0 for n in ns]},
            "words": {"ns": ["fast" for n in ns]}, "few": {"ns": ns + [1]}, "more": {"ns": ns, "tokens": tokens},
            "error": {"error": "no more paper"}, "device": {"ns": ns, "device_ns": [n / 100 for n in ns]},
            "lying_device": {"ns": ns, "device_ns": [n + 10**12 for n in ns]}}.get(mode, {"ns": ns})


def main():
    if "PEER_STARTS" in os.environ:
        with open(os.environ["PEER_STARTS"], "a") as file:
            print(os.getpid(), os.getppid(), file=file)
    for line in sys.stdin:
        message = json.loads(line)
        if "prepare" in message:
            p, mode = message["prepare"]["problem"], message["prepare"].get("arguments", {}).get("mode", "right")
            if mode == "exit":
                sys.exit("no such package")
            if mode == "unsupported":
                reply = {"unsupported": "not on Sundays"}
            elif mode == "not_ready":
                reply = {"ready": False}
            else:
                w = read_weights(message["prepare"]["weights"])
                reply = {"ready": True, "version": "peer 1", "notes": "%d threads" % p["threads"]}
        elif "run" in message:
            reply = run(p, w, mode, message["run"])
            if mode == "garbage":
                print("Loading model... done")
            if mode == "endless":
                sys.stdout.write("y" * 200000)
        else:
            break
        print(json.dumps(reply) + ("\n{}" if "run" in message and mode == "twice" else ""), flush=True)


main()
