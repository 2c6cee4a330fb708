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


def check_sizes(p, w):
    """Does the message say what the file holds?"""
    gates = {"fff_leaf": 2 ** p["depth"] - 1, "moe": p["experts"]}.get(p["operation"], 0)
    sizes = {"linear_in.weight": p["neurons"] * p["width_in"], "linear_in.bias": p["neurons"],
             "linear_out.weight": p["neurons"] * p["width_out"]}
    if gates:
        sizes.update({"gate.weight": gates * p["width_in"], "gate.bias": gates})
    if "linear_out.bias" in w:
        sizes["linear_out.bias"] = max(p["experts"], 1) * p["width_out"]
    assert {name: len(values) for name, values in w.items()} == sizes, sizes
    shape = (p["trees"], p["experts"], p["chosen"], p["expert_width"])
    if p["operation"] == "fff_leaf":
        assert shape == (1, 2 ** p["depth"], 1, p["neurons"] // p["experts"]), shape
    elif p["operation"] == "moe":
        assert shape[0] == p["depth"] == 0 and p["experts"] * p["expert_width"] == p["neurons"], shape
        assert 1 <= p["chosen"] <= p["experts"], shape
    else:
        assert shape[1:] == (0, 0, 0) and (p["trees"] == 0) == (p["operation"] == "ff"), shape


def logit(w, layer, x, n):
    row = w[layer + ".weight"][n * len(x):(n + 1) * len(x)]
    return math.fsum(a * b for a, b in zip(x, row)) + w[layer + ".bias"][n]


def walk(levels, logit_of, mode):
    """Nodes in heap order, each with its logit, and where the last one leads."""
    visited, node = [], 0
    for _ in range(levels):
        z = logit_of(node)
        visited.append((node, z))
        node = 2 * node + 1 + ((z > 0) != (mode == "wrong_child"))
    return visited, node


def choose(p, w, x, mode):
    """Experts and their shares."""
    if p["operation"] == "fff_leaf":
        _, node = walk(p["depth"], lambda n: logit(w, "gate", x, n), mode)
        return [(node - (p["experts"] - 1), 1.0)]
    z = [logit(w, "gate", x, e) for e in range(p["experts"])]
    best = sorted(range(p["experts"]), key=lambda e: -z[e])[mode == "wrong_expert":][:p["chosen"]]  # keeps ties in order
    share = [math.exp(z[e] - z[best[0]]) for e in best]
    return [(e, 1.0 if mode == "unweighted" else s / sum(share)) for e, s in zip(best, share)]


def parts_of(p, w, x, mode):
    """Neurons that count, each with its logit and share; and output biases by their first element, with theirs."""
    if p["operation"] == "ff":
        return [(n, logit(w, "linear_in", x, n), 1.0) for n in range(p["neurons"])], [(0, 1.0)]
    if p["operation"] == "fff":
        nodes = p["neurons"] // p["trees"]
        roots = range(0, p["neurons"], nodes)
        return [(root + n, z, 1.0) for root in roots
                for n, z in walk(p["depth"] + 1, lambda n: logit(w, "linear_in", x, root + n), mode)[0]], []
    chosen, width = choose(p, w, x, mode), p["expert_width"]
    return ([(n, logit(w, "linear_in", x, n), s) for e, s in chosen for n in range(e * width, (e + 1) * width)],
            [(e * p["width_out"], s) for e, s in chosen])


def evaluate(p, w, x, mode):
    act, out, bias = ACTIVATIONS[p["activation"]], w["linear_out.weight"], w.get("linear_out.bias")
    hidden, biases = parts_of(p, w, x, mode)
    hidden = [(n, s * act(z)) for n, z, s in hidden]
    return [math.fsum([g * out[j * p["neurons"] + n] for n, g in hidden] + [s * bias[b + j] for b, s in biases if bias])
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
        y += [evaluate(p, w, x, mode) for x in rows[i * tokens:(i + 1) * tokens]]
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
                check_sizes(p, w)
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
