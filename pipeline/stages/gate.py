"""Stage gate: candidate against champion on the benchmarks. Records its verdict and ends with 0, whatever it is."""

import sys
from dataclasses import asdict
from pathlib import Path

from pipeline import config, errors
from pipeline.evaluation import gate
from pipeline.files import read_table, write_json
from pipeline.library import classes

CHAMPION_SCORES = "scores.parquet"


def main(scores_table: str, class_events: str, released: str, out: str) -> None:
    params = config.load(config.Gate)
    champion = Path(released) / CHAMPION_SCORES
    verdict = gate.decide(
        read_table(Path(scores_table)),
        gate.by_todays_names(read_table(champion), classes.read(Path(class_events))) if champion.exists() else None,
        **params.model_dump(),
    )
    write_json(asdict(verdict), Path(out) / "gate.json")
    print(f"gate: {verdict.verdict}: {verdict.reason}")


if __name__ == "__main__":
    errors.run(lambda: main(*sys.argv[1:]))
