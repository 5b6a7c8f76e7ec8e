"""Computes goldens.json with the reference implementations, for src/metrics/tests.rs.

    python3 -m venv /tmp/metrics && /tmp/metrics/bin/pip install rouge-score==0.1.2 sacrebleu==2.6.0
    /tmp/metrics/bin/python src/metrics/goldens/make.py > src/metrics/goldens/goldens.json
"""

import json
import random

from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

NAMES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]

PAIRS = [
    ("Luke, yo soy tu padre", ["Luke, yo mate a tu padre"]),
    ("The baker lost her keys, but Tom found them.", ["Tom found the keys that the baker had lost."]),
    ("The baker lost her keys, but Tom found them.", ["The baker lost her keys, but Tom found them."]),
    ("", ["Nobody answered."]),
    ("...", ["Nobody answered."]),
    ("Nobody answered.", [""]),
    ("one", ["one"]),
    ("one two three", ["one two three"]),
    ("It cost $3.50 -- not 1,000-2 (\"ok\") &amp; that's final...", ["It cost $3.50 - not 1,000 (\"OK\") & that is final."]),
    ("Ana compró pan.\nLuis llegó tarde.", ["Luis llegó tarde.\nAna compró el pan por la mañana."]),
    ("the cat the cat the cat", ["the cat sat on the mat\nthe cat slept"]),
    ("a b c d e f g", ["g f e d c b a"]),
    ("A ship left the harbour at dawn.\n\nIt came back with fish.", ["At dawn a ship left.\nIt came back full of fish.", "A ship left the harbour."]),
    ("¿Dónde está la estación, señora?", ["¿Dónde queda la estación, señora?", "Señora, ¿dónde está la estación?"]),
    ("Ein Zug fährt um 7.45 Uhr ab; er hält nicht.", ["Der Zug fährt um 7.45 Uhr ab und hält nicht."]),
    ("東京 は 雨 です", ["東京 は 晴れ です"]),
    ("She said <skipped>\"yes\"- \nno", ["She said \"yes\" - no"]),
    ("up-\nside\u00a0down\tand\u2009back", ["upside down and back"]),
    ("x" * 40, ["x" * 38]),
    ("(hi) there!", ["hi there", "(hi there!)"]),
]


def random_pairs(count):
    """Texts over few words, so that many n-grams are shared, with line breaks and punctuation."""
    draw = random.Random(7)
    words = "the a cat dog sun river sees finds old new 3.5 1,000 and, it's (so) end. ¿no? año -x".split()
    text = lambda: "".join(draw.choice(words) + draw.choice([" "] * 6 + ["\n"]) for _ in range(draw.randint(1, 24)))
    return [(text(), [text() for _ in range(draw.randint(1, 3))]) for _ in range(count)]


def corpus(metric, pairs):
    most = max(len(references) for _, references in pairs)
    streams = [[refs[i] if i < len(refs) else None for _, refs in pairs] for i in range(most)]
    score = metric.corpus_score([output for output, _ in pairs], streams)
    return {"value": score.score, "signature": f"{score.name}|{metric.get_signature()}"}


def main():
    scorer = RougeScorer(NAMES, use_stemmer=False)
    pairs = PAIRS + random_pairs(40)
    samples = []
    for output, references in pairs:
        rouge = scorer.score_multi(references, output)
        values = {name: rouge[name].fmeasure for name in NAMES}
        values["bleu"] = BLEU(effective_order=True).sentence_score(output, references).score
        values["chrf"] = CHRF().sentence_score(output, references).score
        values["chrf++"] = CHRF(word_order=2).sentence_score(output, references).score
        samples.append({"output": output, "references": references, "scores": values})
    metrics = {"bleu": BLEU, "chrf": CHRF, "chrf++": lambda: CHRF(word_order=2)}
    single = [(output, references[:1]) for output, references in pairs]
    print(json.dumps({
        "samples": samples,
        "corpus": {name: corpus(make(), pairs) for name, make in metrics.items()},
        "corpus_of_first_references": {name: corpus(make(), single) for name, make in metrics.items()},
    }, ensure_ascii=False, indent=1))


main()
