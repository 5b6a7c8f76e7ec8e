"""Writes with transformers on PyTorch: one task, one line of JSON, as `benches/decoding.rs` has them.

    python peer.py greedy MODEL TOKENS
    python peer.py batch MODEL PROMPTS TOKENS [--sizes 1 8 32 64 200]

`batch` tries each batch size, with padding on the left and prompts sorted by their lengths, and gives the best.
"""

import argparse
import json
import time

import torch
from transformers import AutoModelForCausalLM


def prompt(number, vocabulary):
    length = 1 + (number * 29) % 64
    return [3 + (number * 7919 + at * 104_729) % (vocabulary - 3) for at in range(length)]


def digest(outputs):
    total = 7
    for output in outputs:
        for token in output:
            total = (total * 31 + token) % 1_000_000_007
    return total


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("task", choices=["greedy", "batch"])
    arguments.add_argument("model")
    arguments.add_argument("counts", type=int, nargs="+")
    arguments.add_argument("--sizes", type=int, nargs="*", default=[1, 8, 32, 64, 200])
    arguments.add_argument("--threads", type=int)
    arguments = arguments.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, torch_dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None
    model.generation_config.pad_token_id = 0
    vocabulary = model.config.vocab_size
    parameters = sum(weight.numel() for weight in model.parameters())

    def write(prompts, tokens):
        longest = max(map(len, prompts))
        ids = torch.tensor([[0] * (longest - len(one)) + one for one in prompts])
        mask = torch.tensor([[0] * (longest - len(one)) + [1] * len(one) for one in prompts])
        with torch.inference_mode():
            out = model.generate(input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=tokens, min_new_tokens=tokens)
        return out[:, longest:].tolist()

    if arguments.task == "greedy":
        (tokens,) = arguments.counts
        best, outputs = float("inf"), None
        for number in range(4):
            started = time.perf_counter()
            outputs = write([[1]], tokens)
            if number > 0:
                best = min(best, time.perf_counter() - started)
        line = {"tokens_per_second": tokens / best, "seconds": best}
    else:
        count, tokens = arguments.counts
        prompts = [prompt(number, vocabulary) for number in range(count)]
        order = sorted(range(count), key=lambda number: len(prompts[number]))
        write(prompts[:2], 2)
        speeds, outputs = {}, [None] * count
        for size in arguments.sizes:
            started = time.perf_counter()
            for at in range(0, count, size):
                chosen = order[at : at + size]
                for number, output in zip(chosen, write([prompts[number] for number in chosen], tokens)):
                    outputs[number] = output
            speeds[size] = count / (time.perf_counter() - started)
        best = max(speeds, key=speeds.get)
        line = {"samples_per_second": speeds[best], "batch_size": best, "by_batch_size": speeds}
    threads = torch.get_num_threads()
    print(json.dumps({"task": arguments.task, "parameters": parameters, "threads": threads, **line, "digest": digest(outputs)}))


if __name__ == "__main__":
    main()
