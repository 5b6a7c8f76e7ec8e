#!/usr/bin/env python3
"""Trains two small SentencePiece models with the reference implementation, on this project's own rows and
the lines below, and writes their files and what the reference makes of some texts.

    pip install sentencepiece
    python make.py
"""
import json
import os
import random
import sys
from pathlib import Path

import sentencepiece as spm

HERE = Path(__file__).parent
ROOT = HERE.parents[3]

LINES = """\
El perro de San Roque no tiene rabo, porque Ramón Rodríguez se lo ha cortado.
¿Qué hora es? Son las 12:45 del 3 de julio de 2026; faltan 15 minutos.
La cigüeña voló sobre el río Ñirehuao y bajó despacio hacia el Guadiana.
naïve café, façade, Übermut, smörgåsbord, œuvre, straße, ½ litro
日本語の文章をここに書きます。今日は天気がいいですね。
東京は大きい町です。私は毎日本を読みます。本が好きです。
Привет, как дела? Всё хорошо, спасибо.
def main():  return [x * 2 for x in range(10)]
    four   spaces    and runs  of   them
emoji 😀 and 👩‍👩‍👧‍👦 and 🏳️‍🌈, then ❤️
""".splitlines()

# a small compiled normalization: accents that are composed, forms that are replaced, white space that is one space
RULES = [
    ("e\u0301", "é"), ("n\u0303", "ñ"), ("u\u0308", "ü"), ("a\u0301", "á"), ("\ufb01", "fi"), ("\u2460", "1"),
    ("½", "1/2"), ("\t", " "), ("\n", " "), ("\r", " "), ("\u00a0", " "), ("\u3000", " "), ("\u200b", ""), ("…", "..."),
    ("ｶ\uff9e", "ガ"), ("ｶ", "カ"), ("ß", "ss"),
] + [(chr(0xFF21 + i), chr(0x41 + i)) for i in range(26)]

TEXTS = [
    "", " ", "   ", "hello", " hello", "hello ", "  hello   world  ", "a\tb\n\nc\r\nd", "¿Qué hora es?", "cafe\u0301 nin\u0303o ﬁn ① ½",
    "日本語の文章。東京　大阪", "漢字龍鳳 не знаю ф", "😀😀 👩‍👩‍👧‍👦 ❤️ 🦙", "ＡＢＣ　ＸＹＺ straße ｶﾞｶ", "x = [1,  2,\t3]   # done",
    "\u2581 under \u2581\u2581score", "<sep> a<sep>b <sep>", "a<sep> <sep>", "[[x]]<sep>[[x]] y", "unknown ☃☃ ☃ \u0301 \u200d", "one\u00a0two\u200bthree…",
    "    four   spaces    and runs  of   them", "The quick brown fox doesn't.", "١٢٣ १२३ 456", "\u0000 \u0001\u007f", "Z̷a̸l̴g̶o",
    "éééé ñññ üüü", "aaaaaaaaaaaaaaaaaaaaaaaa", "the the the the", "supercalifragilisticexpialidocious",
]


def rows():
    for name in ("dialogues.jsonl", "instructions.jsonl"):
        for line in (ROOT / "datasets" / name).read_text(encoding="utf-8").splitlines()[:400]:
            yield from (text for text in json.loads(line).values() if isinstance(text, str))


def mixed(seed):
    pieces = TEXTS + ["the", " ", "  ", "\n", "ing", "é", "e\u0301", "ñ", "☃", "<sep>", "[[x]]", "日本", "7", ".", "'s", "A", "ｶ", "\u2581"]
    draw = random.Random(seed)
    return "".join(draw.choice(pieces) for _ in range(draw.randrange(12)))


def main():
    os.chdir(HERE)
    rules = HERE / "rules.tsv"
    lines = [" ".join(f"{ord(c):X}" for c in a) + "\t" + " ".join(f"{ord(c):X}" for c in b) for a, b in RULES]
    rules.write_text("\n".join(lines) + "\n")
    common = {"user_defined_symbols": ["<sep>", "[[x]]"], "minloglevel": 2, "num_threads": 1, "character_coverage": 1.0}
    text = [line for line in rows()] + LINES * 3
    text = [part for line in text for part in line.split("\n")]
    models = {
        # as T5: pad, eos, unk, no bos
        "unigram": dict(
            model_type="unigram", vocab_size=600, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, normalization_rule_tsv=rules.name
        ),
        # as Llama: nothing is normalized, bytes for what is unknown, digits by themselves
        "bpe": dict(
            model_type="bpe", vocab_size=760, byte_fallback=True, normalization_rule_name="identity",
            remove_extra_whitespaces=False, allow_whitespace_only_pieces=True, split_digits=True,
        ),
        # neither bytes nor a space before a text
        "bare": dict(
            model_type="bpe", vocab_size=420, normalization_rule_name="identity", add_dummy_prefix=False,
            remove_extra_whitespaces=False,
        ),
    }
    texts = TEXTS + [mixed(seed) for seed in range(80)]
    goldens = {"about": f"sentencepiece {spm.__version__}, Python {sys.version.split()[0]}, by make.py", "texts": texts, "ids": {}, "decoded": {}}
    for name, settings in models.items():
        spm.SentencePieceTrainer.train(sentence_iterator=iter(text), model_prefix=name, **common, **settings)
        (HERE / f"{name}.vocab").unlink()
        model = spm.SentencePieceProcessor(model_file=str(HERE / f"{name}.model"))
        goldens["ids"][name] = [model.encode(one) for one in texts]
        goldens["decoded"][name] = [model.decode(model.encode(one)) for one in texts]
    rules.unlink()
    (HERE / "goldens.json").write_text(json.dumps(goldens, ensure_ascii=True) + "\n", encoding="utf-8")


main()
