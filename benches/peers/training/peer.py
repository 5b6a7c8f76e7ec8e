"""One round of PyTorch: the model of a configuration on the same kind of batch, tokens a second and peak memory.

    python peer.py NAME UPDATES eager|compile f32|bf16
"""

import json
import math
import resource
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

CONFIGURATIONS = {
    # name: architecture, layers, heads, width, tokens, vocabulary, sequences
    "nanogpt-cpu": ("gpt2", 4, 4, 128, 64, 65, 12),
    "nanogpt-10m": ("gpt2", 6, 6, 384, 256, 65, 8),
    "vocab-4096": ("gpt2", 4, 4, 128, 128, 4096, 16),
    "llama-15m": ("llama", 6, 6, 288, 256, 32000, 4),
    "llama-15m-lora": ("llama", 6, 6, 288, 256, 32000, 4),
    "t5": ("t5", 4, 4, 256, 32, 4096, 16),
    "lstm": ("lstm", 2, 1, 224, 128, 65, 16),
    "gru": ("gru", 2, 1, 224, 128, 65, 16),
}
SOURCE = 128  # tokens that the encoder of "t5" reads
WARM = 5


class Gpt2Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.inner, self.outer = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x):
        batch, tokens, width = x.shape
        shape = (batch, tokens, self.heads, width // self.heads)
        q, k, v = (part.view(shape).transpose(1, 2) for part in self.inner(self.norm1(x)).split(width, dim=2))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.outer(mixed.transpose(1, 2).reshape(batch, tokens, width))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt2(nn.Module):
    def __init__(self, layers, heads, width, context, vocabulary):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Gpt2Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, vocabulary, bias=False)
        self.output.weight = self.tokens.weight

    def forward(self, tokens, targets):
        x = self.tokens(tokens) + self.positions.weight[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.output(self.norm(x)).flatten(0, 1), targets.flatten())


def turn(x, cosine, sine):
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat((-second, first), dim=-1) * sine


class LlamaBlock(nn.Module):
    def __init__(self, width, heads, inner):
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.RMSNorm(width, 1e-5), nn.RMSNorm(width, 1e-5)
        self.qkv, self.outer = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.gate_up, self.down = nn.Linear(width, 2 * inner, bias=False), nn.Linear(inner, width, bias=False)

    def forward(self, x, cosine, sine):
        batch, tokens, width = x.shape
        shape = (batch, tokens, self.heads, width // self.heads)
        q, k, v = (part.view(shape).transpose(1, 2) for part in self.qkv(self.norm1(x)).split(width, dim=2))
        q, k = turn(q, cosine, sine), turn(k, cosine, sine)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.outer(mixed.transpose(1, 2).reshape(batch, tokens, width))
        gate, up = self.gate_up(self.norm2(x)).chunk(2, dim=-1)
        return x + self.down(F.silu(gate) * up)


class Llama(nn.Module):
    def __init__(self, layers, heads, width, context, vocabulary):
        super().__init__()
        inner = math.ceil(width * 8 / 3 / 32) * 32
        self.tokens = nn.Embedding(vocabulary, width)
        self.blocks = nn.ModuleList(LlamaBlock(width, heads, inner) for _ in range(layers))
        self.norm = nn.RMSNorm(width, 1e-5)
        self.output = nn.Linear(width, vocabulary, bias=False)
        self.output.weight = self.tokens.weight
        half = width // heads // 2
        angles = torch.outer(torch.arange(context).float(), 10000.0 ** (-torch.arange(half).float() / half))
        angles = torch.cat((angles, angles), dim=-1)
        self.register_buffer("cosine", angles.cos())
        self.register_buffer("sine", angles.sin())

    def forward(self, tokens, targets):
        x = self.tokens(tokens)
        cosine, sine = self.cosine[: tokens.shape[1]], self.sine[: tokens.shape[1]]
        for block in self.blocks:
            x = block(x, cosine, sine)
        return F.cross_entropy(self.output(self.norm(x)).flatten(0, 1), targets.flatten())


class Attention(nn.Module):
    """T5's: without a scale; terms by distance are added to the scores."""

    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.q, self.kv, self.o = (nn.Linear(width, n * width, bias=False) for n in (1, 2, 1))

    def forward(self, x, source, bias):
        split = lambda y: y.view(y.shape[0], y.shape[1], self.heads, -1).transpose(1, 2)
        k, v = (split(part) for part in self.kv(source).chunk(2, dim=-1))
        mixed = F.scaled_dot_product_attention(split(self.q(x)), k, v, attn_mask=bias, scale=1.0)
        return self.o(mixed.transpose(1, 2).reshape(x.shape))


class T5Block(nn.Module):
    def __init__(self, width, heads, inner, crossed):
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(width, 1e-5), nn.RMSNorm(width, 1e-5)
        self.attention = Attention(width, heads)
        if crossed:
            self.norm3, self.cross = nn.RMSNorm(width, 1e-5), Attention(width, heads)
        self.gate_up, self.down = nn.Linear(width, 2 * inner, bias=False), nn.Linear(inner, width, bias=False)

    def forward(self, x, bias, source=None):
        normal = self.norm1(x)
        x = x + self.attention(normal, normal, bias)
        if source is not None:
            x = x + self.cross(self.norm3(x), source, None)
        gate, up = self.gate_up(self.norm2(x)).chunk(2, dim=-1)
        return x + self.down(F.gelu(gate, approximate="tanh") * up)


class T5(nn.Module):
    def __init__(self, layers, heads, width, length, vocabulary):
        super().__init__()
        inner = math.ceil(width * 8 / 3 / 32) * 32
        self.tokens = nn.Embedding(vocabulary, width)
        self.encoder = nn.ModuleList(T5Block(width, heads, inner, False) for _ in range(layers))
        self.decoder = nn.ModuleList(T5Block(width, heads, inner, True) for _ in range(layers))
        self.norm1, self.norm2 = nn.RMSNorm(width, 1e-5), nn.RMSNorm(width, 1e-5)
        self.terms1, self.terms2 = nn.Embedding(32, heads), nn.Embedding(32, heads)
        self.output = nn.Linear(width, vocabulary, bias=False)
        self.output.weight = self.tokens.weight
        self.register_buffer("buckets1", self.buckets(SOURCE, True))
        self.register_buffer("buckets2", self.buckets(length, False))
        self.register_buffer("future", torch.triu(torch.full((length, length), -math.inf), 1))

    @staticmethod
    def buckets(length, both):
        distance = torch.arange(length)[None, :] - torch.arange(length)[:, None]
        count, base = (16, (distance > 0) * 16) if both else (32, 0)
        distance = distance.abs() if both else (-distance).clamp(min=0)
        exact = count // 2
        far = exact + (torch.log(distance.clamp(min=1) / exact) / math.log(128 / exact) * (count - exact)).long()
        return base + torch.where(distance < exact, distance, far.clamp(max=count - 1))

    def forward(self, source, tokens, targets):
        bias = self.terms1(self.buckets1).permute(2, 0, 1)[None]
        x = self.tokens(source)
        for block in self.encoder:
            x = block(x, bias)
        source = self.norm1(x)
        bias = self.terms2(self.buckets2).permute(2, 0, 1)[None] + self.future
        x = self.tokens(tokens)
        for block in self.decoder:
            x = block(x, bias, source)
        return F.cross_entropy(self.output(self.norm2(x)).flatten(0, 1), targets.flatten())


class Recurrent(nn.Module):
    def __init__(self, layer, layers, width, vocabulary):
        super().__init__()
        self.tokens = nn.Embedding(vocabulary, width)
        self.layers = layer(width, width, layers, batch_first=True)
        self.output = nn.Linear(width, vocabulary, bias=False)
        self.output.weight = self.tokens.weight

    def forward(self, tokens, targets):
        x, _ = self.layers(self.tokens(tokens))
        return F.cross_entropy(self.output(x).flatten(0, 1), targets.flatten())


class Lstm(Recurrent):
    def __init__(self, layers, heads, width, context, vocabulary):
        super().__init__(nn.LSTM, layers, width, vocabulary)


class Gru(Recurrent):
    def __init__(self, layers, heads, width, context, vocabulary):
        super().__init__(nn.GRU, layers, width, vocabulary)


class LowRank(nn.Module):
    """LoRA as peft computes it: a frozen product, and beside it one through a low rank (alpha / rank = 2)."""

    def __init__(self, base, rank=8, alpha=16):
        super().__init__()
        self.base, self.scale = base, alpha / rank
        self.down = nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.up.weight)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x)) * self.scale


class Split(nn.Module):
    """Products side by side of one input, each with a pair of its own, as transformers' Llama has them."""

    def __init__(self, whole, parts):
        super().__init__()
        outputs = whole.out_features // parts
        self.parts = nn.ModuleList()
        for rows in whole.weight.detach().split(outputs):
            part = nn.Linear(whole.in_features, outputs, bias=False)
            part.weight = nn.Parameter(rows.clone(), requires_grad=False)
            self.parts.append(LowRank(part))

    def forward(self, x):
        return torch.cat([part(x) for part in self.parts], dim=-1)


def adapt(model):
    """Freezes a model and puts a pair beside every matrix of its blocks."""
    model.requires_grad_(False)
    for block in model.blocks:
        block.qkv, block.gate_up = Split(block.qkv, 3), Split(block.gate_up, 2)
        block.outer, block.down = LowRank(block.outer), LowRank(block.down)


def main():
    name, updates, mode, precision = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
    architecture, layers, heads, width, length, vocabulary, sequences = CONFIGURATIONS[name]
    torch.manual_seed(1)
    kind = {"gpt2": Gpt2, "llama": Llama, "t5": T5, "lstm": Lstm, "gru": Gru}[architecture]
    model = kind(layers, heads, width, length, vocabulary)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.normal_(parameter, 0.0, 0.02)
    parameters = sum(p.numel() for p in model.parameters())
    if name.endswith("-lora"):
        adapt(model)
    learned = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learned if p.dim() > 1], "weight_decay": 0.1},
        {"params": [p for p in learned if p.dim() < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), fused=True)
    step = torch.compile(model) if mode == "compile" else model
    row = torch.randint(vocabulary, (sequences, length + 1))
    inputs = [row[:, :-1].contiguous(), row[:, 1:].contiguous()]
    counted = sequences * length
    if architecture == "t5":
        inputs.insert(0, torch.randint(vocabulary, (sequences, SOURCE)))
        counted += sequences * SOURCE
    start = 0.0
    for update in range(WARM + updates):
        if update == WARM:
            start = time.perf_counter()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            loss = step(*inputs)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        loss.item()
    seconds = time.perf_counter() - start
    print(json.dumps({
        "name": name,
        "parameters": parameters,
        "learned": sum(p.numel() for p in learned),
        "tokens_per_second": counted * updates / seconds,
        "milliseconds": 1e3 * seconds / updates,
        "loss": loss.item(),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "torch": torch.__version__,
    }))


main()
