"""Makes a Llama with random weights (129 million, f32) in a folder: `python make.py FOLDER`."""

import sys

from transformers import LlamaConfig, LlamaForCausalLM

config = LlamaConfig(
    vocab_size=512, hidden_size=1024, intermediate_size=2816, num_hidden_layers=10, num_attention_heads=16,
    num_key_value_heads=16, max_position_embeddings=512, tie_word_embeddings=True,
)
LlamaForCausalLM(config).save_pretrained(sys.argv[1])
