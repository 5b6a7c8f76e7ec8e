"""Peak memory of loading a model of 516 MB: fragua's whole process over the size of its file of weights.

    python benches/peers/loading/measure.py target/release/fragua ../shared/fixtures/stories260k/tokenizer.json

Makes a model in a temporary folder (make.py: needs torch and transformers), has `fragua chat` load it and end, and
reads what the system counted (ru_maxrss, three times). The model is made by another process: a child's peak begins
with what its parent held when it was started.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

program, tokenizer = sys.argv[1:3]
with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.executable, Path(__file__).with_name("make.py"), folder], check=True)
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
