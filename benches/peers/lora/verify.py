"""A model that was tuned by pairs, beside its base with the adapter that is in its folder, by Hugging Face's peft.

    python benches/peers/lora/verify.py BASE TUNED

BASE and TUNED are the folders of two artifacts. Prints the largest difference of their logits, and that of either to
the base, so that it is seen that the pairs do something. Needs torch, transformers and peft.
"""

import json
import sys
from pathlib import Path

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

base, tuned = map(Path, sys.argv[1:3])
config = json.loads((base / "config.json").read_text())
encodes = config.get("is_encoder_decoder", False)
load = (AutoModelForSeq2SeqLM if encodes else AutoModelForCausalLM).from_pretrained
torch.manual_seed(1)
tokens = torch.randint(config["vocab_size"], (3, 24))
inputs = {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}
if encodes:
    inputs["decoder_input_ids"] = torch.randint(config["vocab_size"], (3, 12))


def logits(model):
    with torch.no_grad():
        return model.eval()(**inputs).logits


plain = logits(load(base, dtype=torch.float32))
merged = logits(load(tuned, dtype=torch.float32))
adapted = logits(PeftModel.from_pretrained(load(base, dtype=torch.float32), tuned / "adapter"))
largest = plain.abs().max().item()
print(
    f"{config['model_type']}: merged and adapted {(merged - adapted).abs().max().item():.1e} apart, "
    f"{(merged - plain).abs().max().item():.1e} from the base, whose largest logit is {largest:.2f}"
)
