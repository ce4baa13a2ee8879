#!/usr/bin/env python
"""How long the light things take, as a user waits for them, against the least that they could take.

    scripts/bench_startup.py [RUNS]

Run it in a workspace after a round (`scripts/round`). Each command is run in turn with its rival, and the medians of
wall seconds are printed with the ratio. Floors: a light stage must at least import pandas and pyarrow; the program must
at least start Python; a round with nothing to do must at least be looked through by `dvc status`.
"""

import statistics
import sys

import harness
import yaml

TABLES = [sys.executable, "-c", "import pandas, pyarrow.parquet"]
PYTHON = [sys.executable, "-c", "pass"]


def main(runs: int) -> None:
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
    harness.heads()
    for name, command, rival_name, rival, limit in cases:
        pairs = [(harness.measured(command).seconds, harness.measured(rival).seconds) for _ in range(runs)]
        ours, theirs = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(mine / other for mine, other in pairs)
        harness.row(f"{name}, s", ours, rival_name, theirs, limit=limit, ratio=ratio)


if __name__ == "__main__":
    main(harness.parser(__doc__, runs=5).parse_args().runs)
