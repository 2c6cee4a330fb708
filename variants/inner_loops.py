#!/usr/bin/env python3
"""What the compiler made of the variants' inner loops, from the disassembly of the built objects.

An inner loop is a backward jump whose body holds no other one. The hottest of a file is the one with the most
multiply-adds. Nothing is run and nothing is counted: the numbers are what stands in the code, and, with --mca,
what LLVM's machine code analyser makes of it when every load hits L1.
"""
import argparse
import fnmatch
import os
import re
import shutil
import subprocess
import sys

HELP_END = """
Every object is held to what its source asks for: SIMD files must have multiply-adds on registers of their
instruction set in an inner loop, without spilling accumulators in the hottest one, and an intrinsic for prefetching, non-temporal stores, permutes or dot products
must have left its instruction in the object (gcc 12 has been seen to delete prefetches silently).

Examples:
  ./fflab inspect                                 one line per variant file; exit code 2 when something is missing
  ./fflab inspect --loops fff_buckets_avx512      the hottest inner loops as assembly
  ./fflab inspect --mca 'ff_tiled_*'              cycles per iteration on paper (needs llvm-mca, package llvm)
  ./fflab inspect --mca --cpu znver4 ff_tiled_bf16_avx512bf16
"""

FMA = re.compile(r"^(vfn?m(add|sub)\d+[ps]s|vpdp\w+|vdpbf16ps)$")
# What must stand in an inner loop of a file compiled for an instruction set.
OF_ISA = {
    "avx2": (r"^vfn?m(add|sub)\d+ps", "ymm"),
    "avx512": (r"^vfn?m(add|sub)\d+ps", "zmm"),
    "avx512vnni": (r"^vpdp(busd|wssd)", "zmm"),
    "avx512bf16": (r"^vdpbf16ps", "zmm"),
}
# Intrinsics in the source (without comments) and the instruction that each must leave in the object.
OF_SOURCE = [
    (r"\b_mm_prefetch\b|\bffl_prefetch\w*\b", r"^prefetch", "prefetch"),
    (r"\b_mm(256|512)_stream_ps\b|\bffl_\w*stream\w*\(", r"^vmovntps", "non-temporal store"),
    (r"\b_mm512_permutexvar_ps\b", r"^vperm(ps|d)", "vpermps"),
    (r"\b_mm512_dpbusd_epi32\b", r"^vpdpbusd", "vpdpbusd"),
    (r"\b_mm512_dpbf16_ps\b", r"^vdpbf16ps", "vdpbf16ps"),
]


class Instruction:
    def __init__(self, address, text):
        self.address = address
        parts = text.split(None, 1)
        self.name = parts[0]
        self.operands = re.sub(r"\s*<[^>]*>|\s*#.*", "", parts[1]).strip() if len(parts) > 1 else ""
        jump = re.match(r"([0-9a-f]+)$", self.operands)
        self.target = int(jump.group(1), 16) if jump and self.name.startswith("j") else None

    def is_fma(self):
        return bool(FMA.match(self.name))

    def spills(self):  # a vector register put onto the stack
        return self.name.startswith("vmov") and bool(re.match(r"%[xyz]mm\d+,.*\(%r[sb]p", self.operands))

    def loads(self):
        return self.name.startswith("v") and "(" in self.operands and not re.match(r"%[xyz]mm\d+,[^%]*\(", self.operands)


class Loop:
    def __init__(self, function, body):
        self.function, self.body = function, body
        self.fma = sum(i.is_fma() for i in body)
        # The activation's polynomials are multiply-adds too, once per logit; their division gives them away.
        self.activation = any(i.name.startswith("vdiv") for i in body)


def disassemble(archive):
    """Functions of an object: name -> instructions."""
    run = subprocess.run(["objdump", "-d", "--no-show-raw-insn", "-w", archive], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"fflab: inspect: {run.stderr.strip()}")
    functions, current = {}, None
    for line in run.stdout.splitlines():
        head = re.match(r"[0-9a-f]+ <(.+)>:$", line)
        code = re.match(r"\s+([0-9a-f]+):\s+(\S.*)$", line)
        if head:
            current = functions.setdefault(head.group(1), [])
        elif code and current is not None:
            current.append(Instruction(int(code.group(1), 16), code.group(2)))
    return functions


def inner_loops(functions):
    loops = []
    for name, code in functions.items():
        where = {i.address: n for n, i in enumerate(code)}
        spans = {(where[i.target], n) for n, i in enumerate(code)
                 if i.target in where and where[i.target] <= n}
        for first, last in spans:
            if not any((a, b) != (first, last) and a >= first and b <= last for a, b in spans):
                loops.append(Loop(name, code[first:last + 1]))
    return sorted(loops, key=lambda l: (l.activation, -l.fma, len(l.body)))


def has(instructions, pattern, register=""):
    return any(re.search(pattern, i.name) and register in i.operands for i in instructions)


def missing(isa, source, functions, loops):
    """What the source asks for and the object lacks."""
    lacks = []
    if isa in OF_ISA and not has([i for l in loops for i in l.body], *OF_ISA[isa]):
        lacks.append(f"no {OF_ISA[isa][0].strip('^')} on {OF_ISA[isa][1]} in any inner loop")
    if loops and loops[0].fma >= 8 and any(i.spills() for i in loops[0].body):
        lacks.append("spills in the hottest loop")
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", open(source).read(), flags=re.S)
    everything = [i for code in functions.values() for i in code]
    for asked, instruction, name in OF_SOURCE:
        if re.search(asked, text) and not has(everything, instruction):
            lacks.append(f"{name} in the source, none in the object")
    return lacks


def variant_files(root):
    """Lines of variants/meson.build: (stem, isa)."""
    text = open(os.path.join(root, "variants", "meson.build")).read()
    return re.findall(r"\[\s*'(\w+)',\s*'(\w+)',\s*'\w+'\s*\]", text)


def mca(loop, cpu):
    """llvm-mca on one loop body; (cycles per iteration, report)."""
    lines = [f"{i.name} {i.operands}" if i.target is None else f"{i.name} .Lloop" for i in loop.body]
    command = ["llvm-mca", "-iterations=100", "-bottleneck-analysis", f"-mcpu={cpu}"]
    run = subprocess.run(command, input=".Lloop:\n" + "\n".join(lines) + "\n", capture_output=True, text=True)
    if run.returncode:
        return None, run.stderr.strip().splitlines()[0]
    cycles = re.search(r"Total Cycles:\s+(\d+)", run.stdout)
    wanted = re.search(r"(Cycles with backend pressure.*?)\n\n(?!Throughput)", run.stdout, re.S)
    return int(cycles.group(1)) / 100, wanted.group(1) if wanted else "no bottleneck found"


def show_table(rows):
    print(f"{'variant file':34} {'hottest inner loop':34} {'instr':>5} {'fma':>4} {'loads':>5} {'spills':>6} "
          f"{'prefetch':>8} {'nt':>3}  remark")
    for stem, functions, loops, lacks in rows:
        best = loops[0] if loops else Loop("-", [])
        everything = [i for code in functions.values() for i in code]
        print(f"{stem:34} {best.function[:34]:34} {len(best.body):5} {best.fma:4} "
              f"{sum(i.loads() for i in best.body):5} {sum(i.spills() for i in best.body):6} "
              f"{sum(i.name.startswith('prefetch') for i in everything):8} "
              f"{sum(i.name.startswith('vmovnt') for i in everything):3}  {'; '.join(lacks) or 'ok'}")


def show_loops(stem, loops, count):
    for loop in loops[:count]:
        print(f"\n{stem}: {loop.function}, {len(loop.body)} instructions, {loop.fma} multiply-adds")
        for i in loop.body:
            print(f"  {i.address:8x}  {i.name:14} {i.operands}")


def show_mca(stem, loops, count, cpu):
    for loop in loops[:count]:
        cycles, report = mca(loop, cpu)
        print(f"\n{stem}: {loop.function}, {len(loop.body)} instructions, {loop.fma} multiply-adds")
        if cycles is None:
            print(f"  llvm-mca: {report}")
            continue
        print(f"  {cycles:.2f} cycles per iteration when all loads hit L1: {loop.fma / cycles:.2f} multiply-adds per cycle")
        print("  " + report.replace("\n", "\n  "))


def main():
    parser = argparse.ArgumentParser(prog="./fflab inspect", description=__doc__, epilog=HELP_END,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("glob", nargs="*", help="variant files, without .c (default: all that are built)")
    parser.add_argument("--loops", action="store_true", help="print the hottest inner loops")
    parser.add_argument("--mca", action="store_true", help="analyse them with llvm-mca")
    parser.add_argument("--count", type=int, default=2, help="how many loops per file (2)")
    parser.add_argument("--cpu", default="native", help="processor for llvm-mca (this one)")
    parser.add_argument("--build", default=os.environ.get("FFLAB_BUILD", "build"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if options.mca and not shutil.which("llvm-mca"):
        sys.exit("fflab: inspect: --mca needs llvm-mca, which is not installed (Debian: apt-get install llvm)")
    files = [f for f in variant_files(root) if not options.glob or any(fnmatch.fnmatch(f[0], g) for g in options.glob)]
    if not files:
        sys.exit(f"fflab: inspect: no variant file matches {' '.join(options.glob)}")
    rows = []
    for stem, isa in files:
        archive = os.path.join(options.build, "variants", f"lib{stem}.a")
        if not os.path.exists(archive):
            print(f"{stem}: not built", file=sys.stderr)
            continue
        functions = disassemble(archive)
        loops = inner_loops(functions)
        rows.append((stem, functions, loops, missing(isa, os.path.join(root, "variants", stem + ".c"), functions, loops)))
    if options.loops or options.mca:
        for stem, _, loops, _ in rows:
            if options.loops:
                show_loops(stem, loops, options.count)
            if options.mca:
                show_mca(stem, loops, options.count, options.cpu)
    else:
        show_table(rows)
    if not rows:
        sys.exit(5)
    sys.exit(2 if any(lacks for *_, lacks in rows) else 0)


if __name__ == "__main__":
    main()
