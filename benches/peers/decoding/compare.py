"""Decoding beside transformers on PyTorch and a plain C loop: rounds in turn, each in a process of its own.

    cargo bench --bench decoding --no-run                     # prints where the benchmark is
    python benches/peers/decoding/compare.py --fragua target/release/deps/decoding-... [--rounds 3] [--without-torch]

Needs gcc and numpy; for the comparison with transformers, PyTorch and transformers from PyPI in the Python that
runs this. `--old` takes the path of an earlier fragua's benchmark of the same commands.
"""

import argparse
import json
import statistics
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy

HERE = Path(__file__).parent
STORIES = HERE.parents[3] / "shared/fixtures/stories260k"


def tensors(path):
    """All tensors of a safetensors file of f32."""
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    header.pop("__metadata__", None)
    found = {}
    for name, about in header.items():
        assert about["dtype"] == "F32", name
        start, end = (8 + size + offset for offset in about["data_offsets"])
        found[name] = numpy.frombuffer(data[start:end], dtype="<f4").reshape(about["shape"])
    return found


def flat(model, path):
    """A llama as loop.c reads it."""
    config = json.loads((model / "config.json").read_text())
    weights = tensors(model / "model.safetensors")
    heads, width = config["num_attention_heads"], config["hidden_size"]
    head = config.get("head_dim") or width // heads
    numbers = [config["num_hidden_layers"], heads, config["num_key_value_heads"], head, width]
    numbers += [config["intermediate_size"], config["vocab_size"], config["max_position_embeddings"]]
    parts = ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "post_attention_layernorm"]
    parts = ["input_layernorm", *parts, "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"]
    with open(path, "wb") as file:
        file.write(struct.pack("<8i2f", *numbers, config.get("rope_theta", 10_000.0), config["rms_norm_eps"]))
        file.write(weights["model.embed_tokens.weight"].tobytes())
        for layer in range(numbers[0]):
            for part in parts:
                file.write(weights[f"model.layers.{layer}.{part}.weight"].tobytes())
        file.write(weights["model.norm.weight"].tobytes())


def run(command):
    out = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--fragua", required=True, help="the compiled benchmark")
    arguments.add_argument("--old", help="an earlier one")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--without-torch", action="store_true")
    arguments.add_argument("--sizes", nargs="*", default=["1", "8", "32", "64", "200"], help="batches that transformers tries")
    arguments.add_argument("--stories", type=Path, default=STORIES)
    arguments = arguments.parse_args()
    folder = Path(tempfile.mkdtemp())
    run([arguments.fragua, "model", folder / "llama-15m"])
    loop = folder / "loop"
    subprocess.run(["gcc", "-O3", "-march=native", "-o", loop, HERE / "loop.c", "-lm"], check=True)
    peer = [sys.executable, HERE / "peer.py"]
    for name, model in [("stories260k", arguments.stories), ("llama-15m", folder / "llama-15m")]:
        flat(model, folder / "flat.bin")
        for task, counts, figure in [("greedy", [199], "tokens_per_second"), ("batch", [200, 64], "samples_per_second")]:
            commands = {"fragua": [arguments.fragua, task, model, *counts]}
            if task == "greedy":
                commands["fragua, 1 thread"] = [arguments.fragua, task, model, *counts, "--threads", 1]
                commands["C loop"] = [loop, folder / "flat.bin", *counts]
            if arguments.old:
                commands["fragua before"] = [arguments.old, task, model, *counts]
            if not arguments.without_torch:
                commands["transformers"] = [*peer, task, model, *counts, "--sizes", *arguments.sizes]
            found = {who: [] for who in commands}
            for _ in range(arguments.rounds):
                for who, command in commands.items():
                    found[who].append(run(command))
            medians = {who: statistics.median(one[figure] for one in rounds) for who, rounds in found.items()}
            for who, rounds in found.items():
                speeds = [one[figure] for one in rounds]
                digests = {one["digest"] for one in rounds}
                more = f", batches of {rounds[0]['batch_size']}" if "batch_size" in rounds[0] else ""
                print(
                    f"{name:12} {task:7} {who:17} {medians[who]:12,.1f} {figure.replace('_per_', '/')} "
                    f"({min(speeds):,.1f} to {max(speeds):,.1f}){more}; fragua / this: {medians['fragua'] / medians[who]:.2f}; "
                    f"digest {sorted(digests)}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
