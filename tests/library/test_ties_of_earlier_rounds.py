"""What once kept an image beside a benchmark out of the sets keeps it out in the next round."""

from pathlib import Path

import pandas as pd
import pytest

from pipeline.files import read_table, write_table, write_text
from pipeline.library import history, lineage
from pipeline.stages import curate
from pipeline.workspace import Workspace
from tests import golden

FIELD, MATE = "benchmark/a.jpg", "library/mate.jpg"


@pytest.fixture
def workspace():
    """A benchmark image, and 24 images of two classes, of which nothing today says that one is of its burst."""
    with golden.workspace():
        names = [f"library/{place}.jpg" for place in range(24)] + [MATE]
        text = "".join(f"{name},{'lion' if place % 2 else 'owl'},,,,ok,,,,,\n" for place, name in enumerate(names))
        write_text(golden.LABELS + text, Path("data/labels.csv"))
        write_text(f"image,label\n{FIELD},lion\n", Path("data/benchmarks/field.csv"))
        write_text(golden.EVENTS, Path("data/classes.csv"))
        rows = golden.library_table([{"image": name} for name in sorted([*names, FIELD])])
        write_table(rows, Path("data/index/library.parquet"))
        seen = pd.DataFrame([{"sha256": golden.sha(FIELD), "phash": golden.phash(FIELD), "set": "benchmark:field"}])
        seen = seen.assign(group="", together="", burst="pass", evidence="sequence")
        write_table(lineage.extend(lineage.empty(), seen, round_=1), Path("data/base/lineage.parquet"))
        yield Workspace(Path())


def before(reason: str) -> None:
    row = {"image": MATE, "sha256": golden.sha(MATE), "label": "owl", "subclass": "", "origin": "real", "set": ""}
    images = pd.DataFrame([row | {"reason": reason, "burst": "pass", "evidence": "sequence"}])
    history.write(Path("data/base"), images, history.empty()[1])


def excluded(workspace: Workspace) -> dict[str, str]:
    curate.main(workspace)
    table = read_table(workspace.excluded)
    return dict(zip(table["image"], table["detail"], strict=True))


def test_an_image_that_was_kept_out_for_its_burst_stays_out(workspace):
    before("benchmark")
    assert excluded(workspace)[MATE] == "an image of the same burst is in a benchmark set"


def test_an_image_that_was_left_out_for_anything_else_is_judged_anew(workspace):
    before("blurred")
    assert MATE not in excluded(workspace)


def test_without_the_benchmark_image_it_may_be_learnt_from(workspace):
    before("benchmark")
    Path("data/benchmarks/field.csv").unlink()
    rows = read_table(workspace.library_table)
    write_table(rows[rows["image"] != FIELD], workspace.library_table)
    assert MATE not in excluded(workspace)
