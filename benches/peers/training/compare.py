"""Training beside PyTorch: rounds in turn, each in a process of its own, and the ratio of medians with its spread.

    cargo bench --bench training --no-run                     # prints where the benchmark is
    python benches/peers/training/compare.py --fragua target/release/deps/training-... [--rounds 5] [--names nanogpt-cpu]
        [--precision bf16]

Prints tokens a second, peak memory, and the share of the machine's measured product ceiling that each reaches.

Needs PyTorch from PyPI in the Python that runs this.
"""

import argparse
import json
import statistics
import subprocess
import sys
from pathlib import Path

UPDATES = {
    "nanogpt-cpu": 100, "nanogpt-10m": 6, "vocab-4096": 30, "llama-15m": 4, "llama-15m-lora": 6, "t5": 10, "lstm": 30, "gru": 30,
}


def run(command):
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return json.loads(out.strip().splitlines()[-1])


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--fragua", required=True, help="the compiled benchmark")
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--names", nargs="*", default=list(UPDATES))
    arguments.add_argument("--precision", choices=["f32", "bf16"], default="f32", help="of both")
    arguments = arguments.parse_args()
    precision = arguments.precision
    peer = [sys.executable, str(Path(__file__).with_name("peer.py"))]
    ceiling = max(run([arguments.fragua, "ceiling", "20"])["gflops"] for _ in range(3))
    for name in arguments.names:
        updates = str(UPDATES[name])
        commands = {
            "fragua": [arguments.fragua, name, updates, json.dumps({"precision": precision})],
            "eager": [*peer, name, updates, "eager", precision],
            "compile": [*peer, name, updates, "compile", precision],
        }
        found = {who: [] for who in commands}
        for _ in range(arguments.rounds):
            for who, command in commands.items():
                found[who].append(run(command))
        speeds = {who: [one["tokens_per_second"] for one in rounds] for who, rounds in found.items()}
        medians = {who: statistics.median(speed) for who, speed in speeds.items()}
        for who, speed in speeds.items():
            peak = statistics.median(one["peak_bytes"] for one in found[who]) / 2**20
            print(f"{name:12} {who:8} {medians[who]:10,.0f} tok/s ({min(speed):,.0f} to {max(speed):,.0f}), {peak:,.0f} MiB")
        better = max(medians["eager"], medians["compile"])
        ratios = [
            mine / max(eager, compiled)
            for mine, eager, compiled in zip(speeds["fragua"], speeds["eager"], speeds["compile"])
        ]
        peaks = {who: statistics.median(one["peak_bytes"] for one in rounds) for who, rounds in found.items()}
        achieved = statistics.median(one["gflops"] for one in found["fragua"])
        print(f"{name:12} fragua / better PyTorch: {medians['fragua'] / better:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        print(f"{name:12} peak memory / better PyTorch: {peaks['fragua'] / min(peaks['eager'], peaks['compile']):.2f}")
        print(f"{name:12} {achieved:.0f} of {ceiling:.0f} GFLOP/s: {achieved / ceiling:.0%} of the ceiling", flush=True)


main()
