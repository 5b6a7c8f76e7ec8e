"""Training in bf16 beside f32: rounds in turn, each in a process of its own, and the ratio of medians with its spread.

    cargo bench --bench training --no-run                     # prints where the benchmark is
    python benches/peers/training/precisions.py --fragua target/release/deps/training-... [--rounds 5] [--names nanogpt-10m]
"""

import argparse
import json
import statistics
import subprocess

UPDATES = {"nanogpt-10m": 6, "vocab-4096": 30, "llama-15m": 4, "nanogpt-cpu": 100, "t5": 10, "lstm": 30, "gru": 30}


def run(command):
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--fragua", required=True, help="the compiled benchmark")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--names", nargs="*", default=list(UPDATES))
    arguments = arguments.parse_args()
    for name in arguments.names:
        found = {"f32": [], "bf16": []}
        for _ in range(arguments.rounds):
            for precision, rounds in found.items():
                rounds.append(run([arguments.fragua, name, str(UPDATES[name]), json.dumps({"precision": precision})]))
        speeds = {precision: [one["tokens_per_second"] for one in rounds] for precision, rounds in found.items()}
        medians = {precision: statistics.median(speed) for precision, speed in speeds.items()}
        peaks = {precision: statistics.median(one["peak_bytes"] for one in rounds) for precision, rounds in found.items()}
        for precision, speed in speeds.items():
            print(
                f"{name:12} {precision:5} {medians[precision]:10,.0f} tok/s ({min(speed):,.0f} to {max(speed):,.0f}), "
                f"{peaks[precision] / 2**20:,.0f} MiB"
            )
        ratios = [bf16 / f32 for f32, bf16 in zip(speeds["f32"], speeds["bf16"])]
        ratio = medians["bf16"] / medians["f32"]
        print(f"{name:12} bf16 / f32: {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})", end="; ")
        print(f"peak memory: {peaks['bf16'] / peaks['f32']:.2f}", flush=True)


main()
