"""fragua's encoding beside Hugging Face tokenizers, tiktoken and SentencePiece: the same vocabularies, the same files,
alternating rounds; every program must give the same tokens.

    python3 -m venv /tmp/peers && /tmp/peers/bin/pip install tokenizers tiktoken sentencepiece
    cargo bench --bench encoding --no-run        # prints where the program is
    /tmp/peers/bin/python benches/peers/tokenizers/compare.py --bench target/release/deps/encoding-... \\
        ../shared/data/quijote.txt ../shared/data/tinyshakespeare.txt

Each round starts each program once, in turn, so that what else the machine does falls on all alike; a program loads
its tokenizer, then encodes the file three times: the first time it has seen nothing of it, the last it remembers what
it remembers. Printed are the medians over rounds in MB/s of UTF-8, and the ratio of fragua to the fastest peer.

`whole` is one text, `lines` a batch of all lines. Threads are --threads of all programs. Vocabularies: OpenAI's three;
a byte-level BPE of 8,000 tokens and a WordPiece of 8,000, which fragua trained on the first file; and, with SentencePiece
itself as the peer, a unigram model and a BPE model with byte fallback of 8,000 that SentencePiece trained on it.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PEER = """
import json, sys, time
library, source, way, repetitions, file = sys.argv[1:6]
repetitions = int(repetitions)
threads = int(sys.argv[6])
text = open(file, encoding="utf-8", newline="").read()
lines = [line[:-1] if line.endswith("\\r") else line for line in text.split("\\n")]
if lines and lines[-1] == "":
    lines.pop()
if library == "tokenizers":
    from tokenizers import Tokenizer
    tokenizer = Tokenizer.from_file(source + "/tokenizer.json")
    def whole():
        return tokenizer.encode_batch_fast([text], add_special_tokens=False)[0].ids
    def batch():
        return [one.ids for one in tokenizer.encode_batch_fast(lines, add_special_tokens=False)]
elif library == "tiktoken":
    import tiktoken
    spec = json.load(open(source + "/tiktoken.json"))
    ranks = {bytes.fromhex(token): rank for token, rank in spec["ranks"]}
    tokenizer = tiktoken.Encoding("x", pat_str=spec["pattern"], mergeable_ranks=ranks, special_tokens={})
    def whole():
        return tokenizer.encode_ordinary(text)
    def batch():
        return tokenizer.encode_ordinary_batch(lines, num_threads=threads)
else:
    import sentencepiece
    tokenizer = sentencepiece.SentencePieceProcessor(model_file=source + "/spiece.model")
    def whole():
        return tokenizer.encode(text)
    def batch():
        return tokenizer.encode(lines, num_threads=threads)
seconds = []
for _ in range(repetitions):
    start = time.perf_counter()
    ids = whole() if way == "whole" else batch()
    seconds.append(time.perf_counter() - start)
if way != "whole":
    ids = [one for line in ids for one in line]
total = 0
for one in ids:
    total = (total * 31 + one) & 0xFFFFFFFFFFFFFFFF
print(json.dumps({"seconds": seconds, "tokens": len(ids), "sum": total}))
"""

# tiktoken/tiktoken_ext/openai_public.py
PATTERNS = {
    "gpt2": r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}++| ?\p{N}++| ?[^\s\p{L}\p{N}]++|\s++$|\s+(?!\S)|\s""",
    "cl100k_base": r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s""",
    "o200k_base": "|".join(
        [
            r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
            r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
            r"""\p{N}{1,3}""",
            r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
            r"""\s*[\r\n]+""",
            r"""\s+(?!\S)""",
            r"""\s+""",
        ]
    ),
}


def spelled():
    """GPT-2's characters for bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + place): byte for place, byte in enumerate(others)}


def vocabularies(bench, folder, text):
    """Each vocabulary's name, what fragua loads, and its peers."""
    bytes_of = spelled()
    for name in PATTERNS:
        (folder / name).mkdir()
        subprocess.run([bench, "save", name, folder / name], check=True)
        model = json.loads((folder / name / "tokenizer.json").read_text())
        special = {token["content"] for token in model["added_tokens"]}
        ranks = [
            (bytes(bytes_of[character] for character in token).hex(), rank)
            for token, rank in model["model"]["vocab"].items()
            if token not in special
        ]
        spec = {"pattern": PATTERNS[name], "ranks": ranks}
        (folder / name / "tiktoken.json").write_text(json.dumps(spec))
        yield name, folder / name, ["tiktoken", "tokenizers"]
    for name in ("bpe", "wordpiece"):
        subprocess.run([bench, "train", name, "8000", text, folder / name], check=True, stdout=subprocess.DEVNULL)
        yield name, folder / name, ["tokenizers"]
    import sentencepiece

    settings = {
        "unigram": dict(model_type="unigram", normalization_rule_name="nmt_nfkc"),
        "llama": dict(
            model_type="bpe", normalization_rule_name="identity", byte_fallback=True, remove_extra_whitespaces=False
        ),
    }
    for name, more in settings.items():
        (folder / name).mkdir()
        sentencepiece.SentencePieceTrainer.train(
            input=str(text), model_prefix=str(folder / name / "spiece"), vocab_size=8000, character_coverage=1.0,
            minloglevel=2, **more,
        )
        # the library reads what fragua makes of it
        (folder / f"{name}.saved").mkdir()
        subprocess.run([bench, "save", folder / name, folder / f"{name}.saved"], check=True)
        (folder / name / "tokenizer.json").write_bytes((folder / f"{name}.saved" / "tokenizer.json").read_bytes())
        yield name, folder / name, ["sentencepiece", "tokenizers"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bench", required=True, help="the program of benches/encoding.rs")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--only", nargs="*", help="these vocabularies")
    parser.add_argument("files", nargs="+", type=Path)
    arguments = parser.parse_args()
    threads = str(arguments.threads)
    environment = os.environ | {"RAYON_NUM_THREADS": threads, "TOKENIZERS_PARALLELISM": "true"}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        print(f"{threads} threads, {arguments.rounds} rounds; MB/s the first time and the third")
        print("| vocabulary | file | way | fragua | " + "peers | fragua / fastest peer, first time |")
        print("|---|---|---|---|---|---|")
        for name, source, peers in vocabularies(arguments.bench, folder, arguments.files[0]):
            if arguments.only and name not in arguments.only:
                continue
            for file in arguments.files:
                size = file.stat().st_size / 1e6
                for way in ("whole", "lines"):
                    programs = {"fragua": [arguments.bench, "encode", str(source), way, "3", str(file)]}
                    for peer in peers:
                        programs[peer] = [sys.executable, "-c", PEER, peer, str(source), way, "3", str(file), threads]
                    found = {program: [] for program in programs}
                    sums = {}
                    for _ in range(arguments.rounds):
                        for program, command in programs.items():
                            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
                            result = json.loads(done.stdout)
                            found[program].append(result["seconds"])
                            sums[program] = (result["tokens"], result["sum"])
                    speed = {
                        program: [size / statistics.median(round[place] for round in rounds) for place in (0, 2)]
                        for program, rounds in found.items()
                    }
                    differ = [program for program in peers if sums[program] != sums["fragua"]]
                    best = max(speed[peer][0] for peer in peers)
                    shown = {program: f"{first:.1f}, {third:.1f}" for program, (first, third) in speed.items()}
                    others = "; ".join(f"{peer} {shown[peer]}" for peer in peers)
                    note = f" (other tokens: {', '.join(differ)})" if differ else ""
                    ratio = speed["fragua"][0] / best
                    print(f"| {name} | {file.name} | {way} | {shown['fragua']} | {others} | {ratio:.2f}{note} |", flush=True)


main()
