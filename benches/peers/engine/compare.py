#!/usr/bin/env python3
"""The same pipeline for fragua, DVC and Snakemake: how long nothing takes, and one change.

N trivial steps in chains of three: `rows` reads a file, `words` reads rows, `ids` reads both. The
first run is not measured. Then, in turn, in each round: every program with nothing to do, and every
program after one line of one file changed (three steps run). Prints medians and their ratios.

    python3 -m venv venv && venv/bin/pip install dvc snakemake
    cargo build --release
    python3 compare.py --fragua target/release/fragua --peers venv/bin --steps 300 999

`--scale 999 9999 29999` prints time and memory of `fragua plan` instead, and needs no peers.
"""
import argparse, os, platform, shutil, statistics, subprocess, sys, tempfile, time
from pathlib import Path


def sources(folder, groups):
    (folder / "data").mkdir(parents=True)
    for group in range(groups):
        (folder / f"data/{group}.txt").write_text(f"the words of file {group}\n")


def fragua(folder, groups):
    text = ["pipeline: same", "steps:"]
    for g in range(groups):
        text.append(f"  rows{g}: {{uses: dataset, with: {{files: data/{g}.txt}}}}")
        text.append(f"  words{g}: {{uses: tokenize, with: {{data: rows{g}, algorithm: char}}}}")
        text.append(f"  ids{g}: {{uses: encode, with: {{data: rows{g}, tokenizer: words{g}}}}}")
    (folder / "pipeline.yaml").write_text("\n".join(text) + "\n")


def matrix(folder, groups):
    """The same instances of three steps; a file of more than 1 MB is refused."""
    values = ", ".join(map(str, range(groups)))
    (folder / "pipeline.yaml").write_text(f"""pipeline: same
steps:
  rows: {{uses: dataset, matrix: {{i: [{values}]}}, with: {{files: "data/${{matrix.i}}.txt"}}}}
  words: {{uses: tokenize, with: {{data: rows, algorithm: char}}}}
  ids: {{uses: encode, with: {{data: rows, tokenizer: words}}}}
""")


def stages(groups):
    for g in range(groups):
        yield f"rows{g}", [f"data/{g}.txt"], f"out/rows{g}"
        yield f"words{g}", [f"out/rows{g}"], f"out/words{g}"
        yield f"ids{g}", [f"out/rows{g}", f"out/words{g}"], f"out/ids{g}"


def outputs(folder, groups):
    """What the commands of the peers write, so that their first run can be recorded, not waited for."""
    (folder / "out").mkdir()
    for _, reads, out in stages(groups):
        shutil.copyfile(folder / reads[0], folder / out)


def dvc(folder, groups):
    text = ["stages:"]
    for name, reads, out in stages(groups):
        text.append(f"  {name}:\n    cmd: cp {reads[0]} {out}\n    deps: [{', '.join(reads)}]\n    outs: [{out}]")
    (folder / "dvc.yaml").write_text("\n".join(text) + "\n")


def snakemake(folder, groups):
    text = ["rule all:\n    input: " + ", ".join(f'"out/ids{g}"' for g in range(groups))]
    for name, reads, out in stages(groups):
        inputs = ", ".join(f'"{read}"' for read in reads)
        text.append(f'rule {name}:\n    input: {inputs}\n    output: "{out}"\n    shell: "cp {reads[0]} {out}"')
    (folder / "Snakefile").write_text("\n".join(text) + "\n")


def run(command, folder, quiet=True):
    """Seconds, the most memory (bytes) that the process held, and seconds of processor time with its children."""
    begin = time.perf_counter()
    sink = subprocess.DEVNULL if quiet else None
    child = subprocess.Popen(command, cwd=folder, stdout=sink, stderr=subprocess.PIPE)
    error = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{error.decode()}")
    return time.perf_counter() - begin, usage.ru_maxrss * 1024, usage.ru_utime + usage.ru_stime


def compare(program, peers, steps, rounds, base):
    groups = steps // 3
    commands = {
        "fragua": [program, "run", "pipeline.yaml", "--device", "cpu", "--quiet"],
        "dvc": [peers / "dvc", "repro", "--quiet"],
        "snakemake": [peers / "snakemake", "--cores", "2", "--quiet", "all"],
    }
    make = {"fragua": fragua, "dvc": dvc, "snakemake": snakemake}
    for name in commands:
        folder = base / name
        sources(folder, groups)
        make[name](folder, groups)
        if name != "fragua":
            outputs(folder, groups)
    run(commands["fragua"] + ["--jobs", "2"], base / "fragua")
    run([peers / "dvc", "init", "--no-scm", "--quiet"], base / "dvc")
    run([peers / "dvc", "commit", "--force", "--quiet"], base / "dvc")
    run([peers / "snakemake", "--cores", "2", "--touch", "--quiet", "all"], base / "snakemake")
    for name in commands:
        run(commands[name], base / name)  # once unmeasured: warm caches, and the peers settle
    times = {(name, what): [] for name in commands for what in ("nothing", "change")}
    for turn in range(rounds):
        for name in commands:
            times[name, "nothing"].append(run(commands[name], base / name))
        for name in commands:
            (base / name / "data/1.txt").write_text(f"the words of turn {turn}\n")
            times[name, "change"].append(run(commands[name], base / name))
    print(f"\n{steps} steps, {rounds} rounds, seconds: median (fastest to slowest), ratio of medians; the same of "
          "processor time, which a busy machine changes less")
    for what, label in (("nothing", "nothing to do"), ("change", "one file changed")):
        for name in commands:
            text = f"  {label:17} {name:10}"
            for measure in (0, 2):
                ours = statistics.median(one[measure] for one in times["fragua", what])
                all = [one[measure] for one in times[name, what]]
                middle = statistics.median(all)
                text += f" {middle:8.3f} ({min(all):.3f} to {max(all):.3f}) {middle / ours:6.1f}x"
            print(text, flush=True)


def scale(program, sizes, base):
    print("instances as       plan (s)   peak memory (MB)   KB an instance")
    forms = [(size, make) for size in sizes for make in (fragua, matrix) if make is matrix or size <= 10_000]
    for size, make in forms:
        folder = base / f"{make.__name__}{size}"
        sources(folder, size // 3)
        make(folder, size // 3)
        tries = [run([program, "plan", "pipeline.yaml", "--device", "cpu", "--quiet"], folder) for _ in range(5)]
        seconds, memory = min(one[0] for one in tries), max(one[1] for one in tries)
        form = "steps" if make is fragua else "matrix"
        print(f"{size:9} {form:6}   {seconds:8.3f}   {memory / 1e6:16.0f}   {memory / 1e3 / size:14.1f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fragua", type=Path, required=True)
    parser.add_argument("--peers", type=Path, help="the folder with dvc and snakemake")
    parser.add_argument("--steps", type=int, nargs="+", default=[300, 999])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=int, nargs="+")
    given = parser.parse_args()
    program = given.fragua.resolve()
    processor = next((line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                      if line.startswith("model name")), platform.processor())
    print(f"{time.strftime('%Y-%m-%d')}, {processor}, {os.cpu_count()} cores, {platform.system()}, "
          f"load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as base:
        if given.scale:
            return scale(program, given.scale, Path(base))
        peers = given.peers.resolve()
        for name in [program, peers / "dvc", peers / "snakemake"]:
            version = subprocess.run([name, "--version"], capture_output=True, text=True).stdout.strip()
            print(f"  {name.name} {version.split()[-1]}")
        for steps in given.steps:
            compare(program, peers, steps, given.rounds, Path(base) / str(steps))


if __name__ == "__main__":
    main()
