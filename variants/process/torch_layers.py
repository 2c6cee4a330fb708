"""The layers of torch_peer.py as modules: inputs of type `kind`, which is what weights, logits and hidden values have, too.

linear   FF: nn.Linear, activation, nn.Linear
bmm      FF: the same as a batched matrix product per token
gather   FFF level by level, leaf FFF and MoE: each token's rows of the weights gathered, batched products
masked   FFF and leaf FFF as in training: all neurons, of which those off the path are replaced by 0
loop     leaf FFF and MoE: one expert after the other, on the tokens that chose it

Sums are float (torch does so inside a product). A bias that `kind` does not hold, the sum over experts and what follows are
float, too.
"""
import torch
from torch.nn import functional as F

ACTIVATIONS = {"gelu": F.gelu, "relu": F.relu, "gelu_tanh": lambda z: F.gelu(z, approximate="tanh")}


def constant(value):
    return torch.nn.Parameter(value, requires_grad=False)


class Affine(torch.nn.Module):
    """x·wᵀ + b; the bias is part of the product where `kind` holds it, else added in float."""

    def __init__(self, weight, bias, kind):
        super().__init__()
        fused = bias is not None and bool((bias.to(kind).float() == bias).all())
        self.weight = constant(weight.to(kind))
        self.bias = constant(bias.to(kind)) if fused else None
        self.apart = constant(bias) if bias is not None and not fused else None

    def forward(self, x):
        y = F.linear(x, self.weight, self.bias)
        return y if self.apart is None else y.float() + self.apart


class Layer(torch.nn.Module):
    """What all forms share: the sizes, and weights by the names of the file (None where it has none)."""

    def __init__(self, problem, kind, weights):
        super().__init__()
        self.kind, self.activation = kind, ACTIVATIONS[problem["activation"]]
        self.depth, self.trees, self.neurons = problem["depth"], problem["trees"], problem["neurons"]
        self.experts, self.expert_width, self.chosen = problem["experts"], problem["expert_width"], problem["chosen"]
        self.width_in, self.width_out = problem["width_in"], problem["width_out"]
        self.build(lambda name: torch.from_numpy(weights[name]) if name in weights else None)

    def affine(self, weight, bias):
        return Affine(weight, bias, self.kind)

    def both(self, read):
        """The two products over all neurons; the second without its bias, which experts have one each of."""
        self.first = self.affine(read("linear_in.weight"), read("linear_in.bias"))
        self.last = self.affine(read("linear_out.weight"), None if self.experts else read("linear_out.bias"))

    def rows(self, read, count):
        """`count` rows to gather from, of a neuron or of all neurons of an expert each; biases in float."""
        self.w_in = constant(read("linear_in.weight").to(self.kind).reshape(count, -1))
        self.b_in = constant(read("linear_in.bias"))
        self.w_out = constant(read("linear_out.weight").t().to(self.kind).reshape(count, -1))
        self.output_bias(read)

    def output_bias(self, read):
        bias = read("linear_out.bias")
        self.b_out = None if bias is None else constant(bias)


def next_node(node, z):
    return 2 * node + 1 + (z > 0)


def gathered_logits(x, nodes, weight, bias):
    """Of [tokens, n] nodes, each token's own."""
    return torch.bmm(F.embedding(nodes, weight), x.unsqueeze(2)).squeeze(2).float() + bias[nodes]


def largest(z, count):
    """Indices of the largest; of equal ones the lower index, NaN last. torch.topk promises neither."""
    z, found = z.masked_fill(z.isnan(), -float("inf")), []
    for place in range(count):
        found.append(z.argmax(1, keepdim=True))  # "the first maximal value", says its documentation
        if place + 1 < count:
            z = z.scatter(1, found[-1], -float("inf"))
    return torch.cat(found, 1)


# ---- FF ----


class Linear(Layer):
    def build(self, read):
        self.both(read)

    def forward(self, x):
        return self.last(self.activation(self.first(x)).to(self.kind))


class Bmm(Layer):
    def build(self, read):
        self.rows(read, self.neurons)

    def forward(self, x):
        tokens = x.shape[0]
        z = torch.bmm(x.unsqueeze(1), self.w_in.t().unsqueeze(0).expand(tokens, -1, -1)).float() + self.b_in
        y = torch.bmm(self.activation(z).to(self.kind), self.w_out.unsqueeze(0).expand(tokens, -1, -1)).squeeze(1)
        return y if self.b_out is None else y.float() + self.b_out


# ---- FFF ----


class Tree(Layer):
    def start(self, x):
        return torch.zeros(x.shape[0], self.trees, dtype=torch.int64, device=x.device)

    def add_roots(self):
        self.register_buffer("roots", torch.arange(self.trees) * (self.neurons // self.trees), persistent=False)


class TreeGather(Tree):
    def build(self, read):
        self.rows(read, self.neurons)
        self.add_roots()

    def forward(self, x):
        node, hidden, visited = self.start(x), [], []
        for level in range(self.depth + 1):
            at = node + self.roots
            z = gathered_logits(x, at, self.w_in, self.b_in)
            hidden.append(self.activation(z).to(self.kind))
            visited.append(at)
            if level < self.depth:
                node = next_node(node, z)
        rows = F.embedding(torch.cat(visited, 1), self.w_out)
        return torch.bmm(torch.cat(hidden, 1).unsqueeze(1), rows).squeeze(1)


class TreeMasked(Tree):
    def build(self, read):
        self.both(read)
        self.add_roots()

    def forward(self, x):
        z, node = self.first(x), self.start(x)
        mask = torch.zeros(z.shape, dtype=torch.bool, device=x.device)
        for level in range(self.depth + 1):
            at = node + self.roots
            mask = mask.scatter(1, at, True)
            if level < self.depth:
                node = next_node(node, z.gather(1, at))
        return self.last(torch.where(mask, self.activation(z), 0.0).to(self.kind))


# ---- Leaf FFF and MoE ----


class Experts(Layer):
    """choose(x): which experts [tokens, chosen], and their shares alike, None for the leaf of a tree."""

    def gates(self, read):
        weight, bias = read("gate.weight"), read("gate.bias")
        if self.trees:
            self.w_gate = None if weight is None else constant(weight.to(self.kind))
            self.b_gate = None if weight is None else constant(bias)
        else:
            self.gate = self.affine(weight, bias)

    def choose(self, x):
        if self.trees:
            node = torch.zeros(x.shape[0], 1, dtype=torch.int64, device=x.device)
            for _ in range(self.depth):
                node = next_node(node, gathered_logits(x, node, self.w_gate, self.b_gate))
            return node - (self.experts - 1), None
        z = self.gate(x).float()
        chosen = largest(z, self.chosen)
        return chosen, torch.softmax(z.gather(1, chosen), 1)


class ExpertsGather(Experts):
    def build(self, read):
        self.rows(read, self.experts)
        self.gates(read)

    def forward(self, x):
        chosen, share = self.choose(x)
        tokens, together = x.shape[0], self.chosen * self.expert_width
        rows = F.embedding(chosen, self.w_in).view(tokens, together, self.width_in)
        z = torch.bmm(rows, x.unsqueeze(2)).view(tokens, self.chosen, -1).float() + self.b_in.view(self.experts, -1)[chosen]
        hidden = self.activation(z)
        if share is not None:
            hidden = hidden * share.unsqueeze(2)
        rows = F.embedding(chosen, self.w_out).view(tokens, together, self.width_out)
        y = torch.bmm(hidden.to(self.kind).view(tokens, 1, together), rows).squeeze(1)
        if self.b_out is None:
            return y
        bias = self.b_out[chosen]
        return y.float() + (bias if share is None else bias * share.unsqueeze(2)).sum(1)


class ExpertsLoop(Experts):
    def build(self, read):
        weight, bias, b_out = (read(name) for name in ("linear_in.weight", "linear_in.bias", "linear_out.bias"))
        w_out, parts = read("linear_out.weight"), range(0, self.neurons, self.expert_width)
        one = self.expert_width
        self.first = torch.nn.ModuleList(self.affine(weight[n:n + one], bias[n:n + one]) for n in parts)
        self.last = torch.nn.ModuleList(
            self.affine(w_out[:, n:n + one].contiguous(), None if b_out is None else b_out[n // one]) for n in parts)
        self.gates(read)

    def forward(self, x):
        chosen, share = self.choose(x)
        y = torch.zeros(x.shape[0], self.width_out, device=x.device)
        for expert in chosen.unique().tolist():
            token, place = torch.where(chosen == expert)
            hidden = self.activation(self.first[expert](x.index_select(0, token))).to(self.kind)
            out = self.last[expert](hidden).float()
            y.index_add_(0, token, out if share is None else out * share[token, place].unsqueeze(1))
        return y


class LeavesMasked(Experts):
    def build(self, read):
        self.both(read)
        self.output_bias(read)
        self.gate = None if self.experts == 1 else self.affine(read("gate.weight"), read("gate.bias"))
        self.register_buffer("owner", (torch.arange(self.neurons) // self.expert_width).unsqueeze(0), persistent=False)

    def forward(self, x):
        node = torch.zeros(x.shape[0], 1, dtype=torch.int64, device=x.device)
        z = self.gate(x) if self.depth else None
        for _ in range(self.depth):
            node = next_node(node, z.gather(1, node))
        leaf = node - (self.experts - 1)
        hidden = torch.where(leaf == self.owner, self.activation(self.first(x)), 0.0)
        y = self.last(hidden.to(self.kind))
        return y if self.b_out is None else y.float() + self.b_out[leaf.squeeze(1)]


FORMS = {("ff", "linear"): Linear, ("ff", "bmm"): Bmm, ("fff", "gather"): TreeGather, ("fff", "masked"): TreeMasked,
         ("fff_leaf", "gather"): ExpertsGather, ("fff_leaf", "loop"): ExpertsLoop, ("fff_leaf", "masked"): LeavesMasked,
         ("moe", "gather"): ExpertsGather, ("moe", "loop"): ExpertsLoop}


def make_layer(problem, arguments, weights):
    """The form as a module on its device, and the type of its inputs."""
    kind = torch.bfloat16 if arguments["type"] == "bf16" else torch.float32
    layer = FORMS[problem["operation"], arguments["form"]](problem, kind, weights)
    return layer.eval().to(arguments["device"]), kind
