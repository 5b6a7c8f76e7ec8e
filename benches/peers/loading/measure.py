"""Peak memory of loading a model of 516 MB: fragua's whole process over the size of its file of weights.

    python benches/peers/loading/measure.py target/release/fragua ../shared/fixtures/stories260k/tokenizer.json

Makes a Llama with random weights (129 million, f32) in a temporary folder, has `fragua chat` load it and end, and reads
what the system counted (ru_maxrss, three times). Needs torch and transformers to make the model.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from transformers import LlamaConfig, LlamaForCausalLM

program, tokenizer = sys.argv[1:3]
with tempfile.TemporaryDirectory() as folder:
    config = LlamaConfig(
        vocab_size=512, hidden_size=1024, intermediate_size=2816, num_hidden_layers=10, num_attention_heads=16,
        num_key_value_heads=16, max_position_embeddings=512, tie_word_embeddings=True,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    shutil.copy(tokenizer, Path(folder) / "tokenizer.json")
    size = (Path(folder) / "model.safetensors").stat().st_size
    for _ in range(3):
        child = subprocess.Popen(
            [program, "chat", folder, "--device", "cpu"], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        _, status, usage = os.wait4(child.pid, 0)
        assert status == 0, status
        peak = usage.ru_maxrss * 1024
        print(f"{peak / 1e6:.0f} MB for {size / 1e6:.0f} MB of weights: {peak / size:.3f} times")
