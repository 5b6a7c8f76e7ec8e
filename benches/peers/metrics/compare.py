"""fragua score beside sacreBLEU and rouge-score: the same files, whole processes, alternating rounds.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install rouge-score==0.1.2 sacrebleu==2.6.0
    cargo build --release
    /tmp/peers/bin/python benches/peers/metrics/compare.py --fragua target/release/fragua

Each round runs every program once, in turn, so that what else the machine does falls on all alike. Printed are
medians of wall-clock time, the ratio of the medians, peak memory, and the largest difference between the scores.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROUGE = """
import json, sys
from rouge_score.rouge_scorer import RougeScorer
names = ["rouge1", "rouge2", "rougeL"]
scorer = RougeScorer(names, use_stemmer=True)
read = lambda path: [line.rstrip() for line in open(path, newline="\\n")]
references = read(sys.argv[1])
for path in sys.argv[2:]:
    scores = [scorer.score(reference, output) for reference, output in zip(references, read(path))]
    print(json.dumps({name: sum(score[name].fmeasure for score in scores) / len(scores) for name in names}))
"""


def texts(folder, systems, segments):
    """References of words as frequent as in a language, and systems that get some of them wrong."""
    draw = random.Random(1)
    syllables = [a + b for a in "b c d f g l m n p r s t tr st".split() for b in "a e i o u ar en on".split()]
    words = list(dict.fromkeys("".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(30_000)))
    endings = ["", "", "", "s", "ed", "ing", "ation", "ly"]
    words = [word + draw.choice(endings) for word in words]
    weights = [1 / (rank + 2) for rank in range(len(words))]

    def sentence():
        chosen = draw.choices(words, weights, k=draw.randint(8, 32))
        chosen = [word + "," if draw.random() < 0.08 else word for word in chosen]
        return " ".join(chosen).capitalize() + "."

    def spoiled(text, rate):
        tokens = [draw.choices(words, weights)[0] if draw.random() < rate else token for token in text.split()]
        if draw.random() < 0.3:
            cut = draw.randrange(len(tokens))
            tokens = tokens[cut:] + tokens[:cut]
        return " ".join(tokens)

    references = [sentence() for _ in range(segments)]
    paths = [folder / "ref.txt"] + [folder / f"system{number}.txt" for number in range(systems)]
    paths[0].write_text("\n".join(references) + "\n")
    for number, path in enumerate(paths[1:]):
        path.write_text("\n".join(spoiled(text, 0.2 + 0.02 * number) for text in references) + "\n")
    return [str(path) for path in paths]


def run(command):
    """Seconds on the wall, seconds of processors, peak memory in MB, output."""
    started = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    output = child.stdout.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - started
    if status:
        sys.exit(f"{command[:3]} .. failed")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, output


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fragua", default="target/release/fragua")
    parser.add_argument("--systems", type=int, default=16)
    parser.add_argument("--segments", type=int, default=3000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="2")
    parser.add_argument("--only", choices=["bleu", "chrf", "ter", "rouge"], action="append")
    arguments = parser.parse_args()
    folder = tempfile.TemporaryDirectory()
    reference, *systems = texts(Path(folder.name), arguments.systems, arguments.segments)
    fragua = [arguments.fragua, "score", "--threads", arguments.threads, "--json", "--references", reference, *systems]
    sacrebleu = [sys.executable, "-m", "sacrebleu", reference, "-i", *systems, "-w", "10", "-m"]
    jobs = {
        "bleu": (["--metrics", "bleu"], [*sacrebleu, "bleu"]),
        "chrf": (["--metrics", "chrf"], [*sacrebleu, "chrf"]),
        "ter": (["--metrics", "ter"], [*sacrebleu, "ter"]),
        "rouge": (["--metrics", "rouge1,rouge2,rougeL", "--stemmer", "porter"],
                  [sys.executable, "-c", ROUGE, reference, *systems]),
    }
    print(f"{arguments.systems} systems of {arguments.segments} segments, {arguments.rounds} rounds, "
          f"fragua with {arguments.threads} threads on {os.cpu_count()} processors")
    print(f"{'':8}{'fragua s':>10}{'cpu s':>8}{'MB':>7}   {'theirs s':>10}{'cpu s':>8}{'MB':>7}   {'ratio':>7}  difference")
    for name in arguments.only or jobs:
        ours_command, theirs_command = jobs[name]
        ours, theirs = [], []
        for _ in range(arguments.rounds):
            ours.append(run([*fragua, *ours_command]))
            theirs.append(run(theirs_command))
        scores = [score["value"] for score in json.loads(ours[0][3])["scores"]]
        if name == "rouge":
            reference_scores = [value for line in theirs[0][3].splitlines() for value in json.loads(line).values()]
        else:
            made = json.loads(theirs[0][3])
            key = {"bleu": "BLEU", "chrf": "chrF2", "ter": "TER"}[name]
            made = made if isinstance(made, list) else [made]
            reference_scores = [float(score.get(key, score.get("score"))) for score in made]
        difference = max(abs(one - other) for one, other in zip(scores, reference_scores, strict=True))
        median = lambda runs, column: statistics.median(one[column] for one in runs)
        print(f"{name:8}{median(ours, 0):10.2f}{median(ours, 1):8.2f}{median(ours, 2):7.0f}   "
              f"{median(theirs, 0):10.2f}{median(theirs, 1):8.2f}{median(theirs, 2):7.0f}   "
              f"{median(theirs, 0) / median(ours, 0):7.1f}  {difference:.1e}", flush=True)


main()
