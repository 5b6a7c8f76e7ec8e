"""A million generations through `evaluate`: time and peak memory of the step.

    python3 benches/peers/metrics/many.py --fragua target/release/fragua --rows 1000000

Writes a dataset and has `fragua score` stream it (`generations.jsonl` as the program itself writes it), the default
metrics of `evaluate` with intervals, and prints the peak of its memory.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fragua", default="target/release/fragua")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--metrics", default="rouge,bleu,chrf,exact_match")
    parser.add_argument("--confidence", action="store_true")
    arguments = parser.parse_args()
    draw = random.Random(1)
    words = "a the lamp book bread map apple key market garden station Ana Luis Marta asks for brings sees new old".split()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "generations.jsonl")
        with open(path, "w") as file:
            for number in range(arguments.rows):
                reference = draw.choices(words, k=draw.randint(4, 12))
                output = [draw.choice(words) if draw.random() < 0.3 else word for word in reference]
                row = {"id": str(number), "prompt": "Say it:", "output": " ".join(output), "references": [" ".join(reference)],
                       "finish": "eos", "prompt_tokens": 3, "output_tokens": len(output), "seed": 1, "shots_used": 0, "row": {}}
                file.write(json.dumps(row) + "\n")
        megabytes = os.path.getsize(path) / 1e6
        command = [arguments.fragua, "score", "--metrics", arguments.metrics, path, "--json"]
        command += ["--confidence"] if arguments.confidence else []
        started = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.PIPE)
        child.stdout.read()
        _, status, usage = os.wait4(child.pid, 0)
        if status:
            sys.exit("failed")
        print(f"{arguments.rows} rows, {megabytes:.0f} MB: {time.perf_counter() - started:.1f} s, "
              f"peak {usage.ru_maxrss / 1024:.0f} MB")


main()
