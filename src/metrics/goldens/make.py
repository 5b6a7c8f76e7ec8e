"""Computes goldens.json with the reference implementations, for src/metrics/tests.rs.

    python3 -m venv /tmp/metrics
    /tmp/metrics/bin/pip install rouge-score==0.1.2 nltk==3.10.4 sacrebleu==2.6.0 scikit-learn==1.9.1
    /tmp/metrics/bin/python src/metrics/goldens/make.py > src/metrics/goldens/goldens.json

The texts are ours. Values are rounded to 12 digits, far below what the tests ask for.
"""

import collections
import json
import random
import re
import string

from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF, TER
from sacrebleu.significance import PairedTest
from sklearn.metrics import precision_recall_fscore_support

ROUGE = [f"rouge{n}" for n in range(1, 10)] + ["rougeL", "rougeLsum"]

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
    ("The running dogs were happily relating conditional stories.", ["A dog ran, happy to relate a conditional story."]),
    ("President Lee met the ministers; ministers of geology disagreed.", ["The minister of geological affairs disagreed with President Lee"]),
    ("中文句子没有空格。第二句，很短！", ["中文句子沒有空格。第二句很短"]),
    ("カタカナとひらがな、漢字（かんじ）の文。", ["ひらがなとカタカナ、漢字「かんじ」の文です。"]),
    ("Привет, мир! Как дела?", ["Привет, мир; как твои дела?"]),
    ("हिन्दी में एक वाक्य।", ["हिन्दी का एक वाक्य है।"]),
    ("A price of €5.00+VAT (20%)… or £4½ ≈ $6 — it's Anna's", ["The price: €5.00 + VAT (20 %), or £4½; Anna's"]),
    ("the quick brown fox jumps over the lazy dog and runs into the deep dark forest at night", ["at night the quick brown fox runs into the forest deep and dark and jumps over the lazy dog"]),
    ("d e f g h a b c x y z", ["a b c d e f g h x y z"]),
    ("İstanbul STRASSE ΟΔΟΣ Kelvin 2\u212a", ["istanbul straße οδος kelvin 2k"]),
    ("line one here\nline two there\n\nline three", ["line three\nline one is here\nand line two"]),
    ("The answer is a an the.", ["the answer is"]),
    ("a\u0301 e\u0301 &quot;x&quot; 5-3 a-b 1. 2, .5 ..5 a..b ,, 3.,4", ["á é \"x\" 5 - 3 a-b 1 . 2 , .5 . . 5 a . . b , , 3 ., 4"]),
    (" ".join(f"w{i % 37}" for i in range(120)), [" ".join(f"w{i * 7 % 41}" for i in range(100))]),
    (" ".join(f"w{i % 5}" for i in range(70)), [" ".join(f"w{i * 3 % 7}" for i in range(4))]),
]


def random_pairs(count):
    """Texts over few words, so that many n-grams are shared, with line breaks and punctuation."""
    draw = random.Random(7)
    words = "the a cat dog sun river sees finds old new 3.5 1,000 and, it's (so) end. ¿no? año -x".split()
    text = lambda: "".join(draw.choice(words) + draw.choice([" "] * 6 + ["\n"]) for _ in range(draw.randint(1, 24)))
    return [(text(), [text() for _ in range(draw.randint(1, 3))]) for _ in range(count)]


def rounded(value):
    return float(f"{value:.12g}")


def rouge(pairs, stem):
    """Precision, recall and F-measure of each sample by each metric."""
    scorer = RougeScorer(ROUGE, use_stemmer=stem)
    scores = [scorer.score_multi(references, output) for output, references in pairs]
    return {name: [[rounded(x) for x in score[name]] for score in scores] for name in ROUGE}


def corpus(metric, pairs):
    most = max(len(references) for _, references in pairs)
    streams = [[refs[i] if i < len(refs) else None for _, refs in pairs] for i in range(most)]
    score = metric.corpus_score([output for output, _ in pairs], streams)
    return {"value": rounded(score.score), "signature": f"{score.name}|{metric.get_signature()}"}


def variant(name, settings, make, pairs, of_sentence=None):
    """One metric with some of its settings: of each sample, of all, of all with their first references."""
    single = [(output, references[:1]) for output, references in pairs]
    sentence = of_sentence or make
    return {
        "metric": name,
        "settings": settings,
        "sentences": [rounded(sentence().sentence_score(output, refs).score) for output, refs in pairs],
        "corpus": corpus(make(), pairs),
        "corpus_of_first_references": corpus(make(), single),
    }


def variants(pairs):
    made = []
    for settings in [{}, {"tokenize": "intl"}, {"tokenize": "char"}, {"tokenize": "none"}, {"lowercase": True},
                     {"smooth": "none"}, {"smooth": "floor"}, {"smooth": "floor", "smooth_value": 0.5},
                     {"smooth": "add-k"}, {"smooth": "add-k", "smooth_value": 2.5},
                     {"tokenize": "intl", "lowercase": True, "effective_order": True}]:
        arguments = {{"smooth": "smooth_method"}.get(key, key): value for key, value in settings.items()}
        of_sentence = {**arguments, "effective_order": True}
        made.append(variant("bleu", settings, lambda: BLEU(**arguments), pairs, lambda: BLEU(**of_sentence)))
    for settings in [{}, {"lowercase": True}, {"whitespace": True}, {"eps_smoothing": True},
                     {"char_order": 4, "word_order": 1, "beta": 3}]:
        made.append(variant("chrf", settings, lambda: CHRF(**settings), pairs))
    for settings in [{}, {"eps_smoothing": True, "whitespace": True}]:
        made.append(variant("chrf++", settings, lambda: CHRF(word_order=2, **settings), pairs))
    for settings in [{}, {"normalized": True}, {"no_punct": True}, {"case_sensitive": True},
                     {"normalized": True, "asian_support": True}, {"no_punct": True, "asian_support": True},
                     {"normalized": True, "no_punct": True, "asian_support": True, "case_sensitive": True}]:
        made.append(variant("ter", settings, lambda: TER(**settings), pairs))
    return made


def squad_words(text):
    """The normal form of the SQuAD 1.1 evaluation: see https://rajpurkar.github.io/SQuAD-explorer."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def squad(pairs):
    """Exact match and F1 of each sample."""
    def f1(output, reference):
        here, there = squad_words(output), squad_words(reference)
        shared = sum((collections.Counter(here) & collections.Counter(there)).values())
        if not here or not there:
            return float(here == there)
        return 2 * shared / (len(here) + len(there))
    exact = [max(float(squad_words(output) == squad_words(ref)) for ref in refs) for output, refs in pairs]
    return {"exact_match": exact, "token_f1": [rounded(max(f1(output, ref) for ref in refs)) for output, refs in pairs]}


def classes():
    """Labels, some answers being none of them, and the averages over the labels."""
    draw = random.Random(3)
    names, shares = ["angry", "calm", "glad", "sad"], [8, 4, 2, 1]
    right = draw.choices(names, shares, k=120)
    answered = [label if draw.random() < 0.6 else draw.choice([*names, "no idea"]) for label in right]
    averages = {}
    for average in ["macro", "micro", "weighted"]:
        figures = precision_recall_fscore_support(right, answered, labels=names, average=average, zero_division=0)
        for figure, value in zip(["precision", "recall", "f1"], figures):
            averages[f"{figure}_{average}"] = rounded(value)
    each = precision_recall_fscore_support(right, answered, labels=names, zero_division=0)
    each = {name: [rounded(float(values[i])) for values in each] for i, name in enumerate(names)}
    return {"right": right, "answered": answered, "averages": averages, "each": each}


def paired():
    """Two systems of 200 sentences over few words, one a little better, and sacreBLEU's tests of them."""
    draw = random.Random(11)
    words = "the a cat dog sun river sees finds old new and then runs far home again".split()
    references = [" ".join(draw.choice(words) for _ in range(draw.randint(6, 14))) for _ in range(200)]
    spoil = lambda text, rate: " ".join(draw.choice(words) if draw.random() < rate else word for word in text.split())
    systems = [[spoil(text, rate) for text in references] for rate in (0.40, 0.38)]
    tests = {}
    for test, trials in [("bs", 10000), ("ar", 10000)]:
        metrics = {"BLEU": BLEU(), "CHRF": CHRF(), "TER": TER()}
        named = [("one", systems[0]), ("two", systems[1])]
        _, scores = PairedTest(named, metrics, [references], test_type=test, n_samples=trials)()
        rows = {"bleu": scores["BLEU"], "chrf": scores["chrF2"], "ter": scores["TER"]}
        tests[test] = {name: {"p": float(row[1].p_value), "mean": row[1].mean and float(row[1].mean),
                              "ci": row[1].ci and float(row[1].ci)} for name, row in rows.items()}
    return {"references": references, "systems": systems, "tests": tests}


def stems():
    """Words with the endings that the rules speak of, and their stems."""
    stemmer = PorterStemmer()
    roots = "relat condition val digit vil radic analog vietnam predic oper feud decis hope call form sens tripl electr " \
            "adjust revi allow infer airlin gyroscop defens irrit replac depend adopt homolog commun effect hop fall hiss " \
            "fil syzyg y toy agre pla tr geo theo archaeo controll roll prob ceas abil happ enjo d sp fl".split()
    endings = "s es ies sses ss ed ing eed ied ying y ational tional enci anci izer abli bli alli entli eli ousli ization " \
              "ation ator alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness " \
              "al ance ence er ic able ible ant ement ment ent sion tion ion ou ism ate iti ous ive ize e le ll lle".split()
    words = [root + ending for root in roots for ending in endings]
    words = random.Random(5).sample(words, 700) + "sky skies dying lying tying news innings outings cannings howe".split()
    words += "proceed exceed succeed died spied says eyes yes oxen 2nd 1990s abcdeed ing ings yyyying".split()
    return {word: stemmer.stem(word) for word in words if len(word) > 3}


def main():
    pairs = PAIRS + random_pairs(40)
    print(json.dumps({
        "samples": [{"output": output, "references": references} for output, references in pairs],
        "rouge": {"none": rouge(pairs, False), "porter": rouge(pairs, True)},
        "variants": variants(pairs),
        "squad": squad(pairs),
        "classes": classes(),
        "paired": paired(),
        "stems": stems(),
    }, ensure_ascii=False, separators=(",", ":")).replace('},{"', '},\n{"'))


main()
