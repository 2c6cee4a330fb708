"""torch.compile, with proof that it did: a form that fell back to the interpreter somewhere is no compiled form."""
import os

os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # its pool of processes takes longer than a small graph

import torch


class NotCompiled(Exception):
    pass


def missing():
    """Why there is nothing to compile with, or ""."""
    return "" if hasattr(torch, "compile") else "PyTorch %s has no torch.compile" % torch.__version__


def last_line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200]


def reset(freezing):
    """Before forms are compiled: forgets earlier ones. freezing: weights are constants, packed for the library."""
    import torch._dynamo
    import torch._inductor.config

    torch._dynamo.reset()
    torch._inductor.config.freezing = freezing


class Compiled:
    """A function as one graph; `dynamic`: one for any number of rows. Compiles with the first call of each kind."""

    def __init__(self, function, dynamic=False):
        if missing():
            raise NotCompiled(missing())
        # fullgraph: what does not fit into one graph is an error, not a silent return to the interpreter.
        self.function = torch.compile(function, fullgraph=True, dynamic=dynamic)
        self.graphs = 0

    def warm_up(self, *inputs):
        """Compiles for inputs like these, and says whether it really did."""
        from torch._dynamo.utils import counters

        before = graphs_compiled()
        try:
            for _ in range(2):
                self.function(*inputs)
        except Exception as error:
            raise NotCompiled("torch.compile failed: " + last_line(error)) from None
        self.graphs += graphs_compiled() - before
        if self.graphs == 0 or sum(counters["graph_break"].values()):
            raise NotCompiled("torch.compile made %d graphs with %d breaks" %
                              (self.graphs, sum(counters["graph_break"].values())))


def graphs_compiled():
    """By dynamo, in this process."""
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"]
