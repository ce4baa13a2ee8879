#!/usr/bin/env python
"""How long the light things take, as a user waits for them, against the least that they could take.

    scripts/bench_startup.py [RUNS]

Run it in a workspace after a round (`scripts/round`). Each command is run in turn with its rival, and the medians of
wall seconds are printed with the ratio. Floors: a light stage must at least import pandas and pyarrow; the program must
at least start Python; a round with nothing to do must at least be looked through by `dvc status`.
"""

import statistics
import subprocess
import sys
import time

import yaml

TABLES = [sys.executable, "-c", "import pandas, pyarrow.parquet"]
PYTHON = [sys.executable, "-c", "pass"]


def main(runs: int = 5) -> None:
    with open("dvc.yaml") as file:
        stages = yaml.safe_load(file)["stages"]
    cases = [
        (f"stage {name}", [sys.executable, *stages[name]["cmd"].split()[1:]], "import pandas, pyarrow", TABLES, 1.5)
        for name in ("index", "curate", "split", "gate")  # they write again, byte for byte, what is there
    ]
    cases += [
        ("wallaby --help", ["wallaby", "--help"], "start Python", PYTHON, 0.5),
        ("dvc repro, nothing to do", ["dvc", "repro"], "dvc status", ["dvc", "status"], 5.0),
    ]
    print(f"{'command':<26}{'median s':>9}{'limit':>7}   {'rival':<24}{'median s':>9}{'ratio':>7}")
    for name, command, rival_name, rival, limit in cases:
        ours, theirs = zip(*((seconds(command), seconds(rival)) for _ in range(runs)), strict=True)
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        print(
            f"{name:<26}{statistics.median(ours):>9.2f}{limit:>7.1f}"
            f"   {rival_name:<24}{statistics.median(theirs):>9.2f}{ratio:>7.1f}"
        )


def seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
