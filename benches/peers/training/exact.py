"""Five AdamW updates of a T5 fixture in f64, and how far f32 is from them.

    python benches/peers/training/exact.py ../shared/fixtures/tiny-t5

Prints the losses before each update (those of the fixture, of PyTorch in f32 here, in f64), and for the first
update the weights whose step f32 gets wrong: Adam divides a gradient by its own size, so that one near zero becomes a
whole step of whatever sign rounding gave it. Needs torch and transformers.
"""

import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForSeq2SeqLM

folder = Path(sys.argv[1])
reference = json.loads((folder / "reference.json").read_text())
batch = {name: torch.tensor(reference[name]) for name in ("input_ids", "attention_mask", "labels")}
torch.set_num_threads(1)


def model(dtype):
    return AutoModelForSeq2SeqLM.from_pretrained(folder, dtype=torch.float32).to(dtype).eval()


def losses(dtype, noise=0.0, seed=0):
    """The loss before each of five updates, as the fixtures' README says; with `noise` every element of the first
    gradient is off by a random number of that size, measured against the gradient's norm."""
    torch.manual_seed(seed)
    network = model(dtype)
    decayed = [weight for weight in network.parameters() if weight.ndim >= 2]
    rest = [weight for weight in network.parameters() if weight.ndim < 2]
    groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    found = []
    for update in range(5):
        loss = network(**batch).loss
        found.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        if update == 0 and noise:
            for weight in network.parameters():
                weight.grad += torch.randn_like(weight.grad) * noise
        optimizer.step()
    return found


def first_steps(dtype):
    """Adam's first update of each weight, in units of the learning rate, and the gradient's norm."""
    network = model(dtype)
    network(**batch).loss.backward()
    norm = torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    steps = {name: weight.grad.double() for name, weight in network.named_parameters()}
    return norm.item(), {name: grad / (grad.abs() + 1e-8) for name, grad in steps.items()}


print("fixture", reference["adamw_losses"])
print("f32    ", losses(torch.float32))
print("f64    ", losses(torch.float64))
norm, single = first_steps(torch.float32)
_, double = first_steps(torch.float64)
wrong = {name: (single[name] - double[name]).abs() for name in single}
print(f"norm of the gradient {norm:.1f}; weights whose first step f32 gets wrong by more than a hundredth:")
for name, error in sorted(wrong.items(), key=lambda item: -item[1].max().item())[:6]:
    print(f"  {(error > 0.01).sum().item()} of {error.numel()} in {name}, by up to {error.max().item():.2f}")
print("fifth loss in f64 when each element of the first gradient is off by a share of the clipped norm:")
for noise in (1e-7, 1e-6, 3e-6):
    fifth = [losses(torch.float64, noise, seed)[-1] for seed in range(8)]
    print(f"  {noise:.0e}: {min(fifth):.4f} to {max(fifth):.4f}")
