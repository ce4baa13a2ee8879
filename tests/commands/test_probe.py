"""A probe measures today's library by a linear head on frozen features, and fills a queue, without a round."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from pipeline.commands import Answer, probe, review
from pipeline.errors import DataError, Exit, UsageError
from pipeline.files import read_json, read_table, write_text
from pipeline.inference import evaluated, pool_predictions
from pipeline.stages import index
from pipeline.workspace import Workspace
from tests import golden
from tests.onnx_files import network

HUES = {"lion": 0, "owl": 1, "rat": 2}


def picture(seed: int, hue: int) -> np.ndarray:
    values = golden.pixels(seed).astype(int)
    values[..., hue] += 90
    return np.clip(values, 0, 255).astype(np.uint8)


def labels(text: str) -> None:
    write_text(golden.LABELS + text, Path("data/labels.csv"))


@pytest.fixture
def workspace():
    with golden.workspace():
        network(Path("own.onnx"))
        params = yaml.safe_load(Path("configs/params.yaml").read_text())
        params["curate"]["max_images"] = 100
        Path("configs/params.yaml").write_text(yaml.safe_dump(params))
        rows, number = [], 0
        for label, hue in HUES.items():
            for _ in range(24 if label != "rat" else 3):
                golden.put(f"images/library/{label}/{number:03d}.bmp", picture(number, hue))
                rows.append(f"library/{label}/{number:03d}.bmp,{label},,real,,ok,,,,,\n")
                number += 1
        for place in range(9):
            golden.put(f"images/pool/{place}.bmp", picture(500 + place, place % 2))
        labels("".join(rows))
        write_text("name,images,left,by,at,note\n", Path("data/roots.csv"))
        write_text("image,sha256,score,by,at,model,note\n", Path("data/quarantine.csv"))
        write_text(golden.EVENTS, Path("data/classes.csv"))
        for folder in ("benchmarks", "reviews"):
            Path("data", folder).mkdir(parents=True, exist_ok=True)
        yield Workspace(Path())


def test_without_a_base_a_probe_measures_the_test_set_and_names_the_pool(workspace):
    made = probe.probe(workspace).data
    assert (made.classes, made.library["images"]) == (2, 51)
    assert [row["label"] for row in made.short] == ["rat"]
    (test,) = [row for row in made.sets if row["set"] == "test"]
    assert test["n"] == made.images["test"] > 0
    assert test["top1_low"] <= test["top1"] <= test["top1_high"]
    assert test["majority"] <= 0.7
    assert made.pool == 9
    folder = Path(made.queue_folder)
    assert (folder / "index.html").exists()
    named = pool_predictions.read(folder.parent / "predictions").rows
    assert set(named["label"]) <= {"lion", "owl"}
    right = named["label"] == np.where(named["image"].str[5].astype(int) % 2, "owl", "lion")
    assert right.mean() > 0.7


def test_it_is_no_round_no_base_and_no_champion(workspace):
    index.main(workspace)  # which notes the content that each label was given to
    before = Path("data/labels.csv").read_bytes()
    probe.probe(workspace)
    for made in (workspace.base, workspace.model, workspace.released, workspace.queue, workspace.curated):
        assert not made.exists(), made
    assert Path("data/labels.csv").read_bytes() == before
    assert not any(path.is_symlink() for path in Path(".wallaby/probe").rglob("*"))


def test_its_products_lie_as_those_of_a_round_do(workspace):
    folder = Path(probe.probe(workspace).data.queue_folder).parent
    scores = read_table(folder / "evaluation/scores.parquet")
    outputs = evaluated.read(folder / "evaluation/outputs", scores["sha256"])
    assert outputs.features.shape[0] == len(scores)
    assert read_json(folder / "predictions/summary.json")["model"] == scores["model"].iloc[0]


def test_a_second_probe_computes_no_features_again_and_replaces_the_first(workspace, capsys):
    first = probe.probe(workspace).data
    capsys.readouterr()
    again = probe.probe(workspace).data
    assert "0 computed" in capsys.readouterr().err
    assert again.sets == first.sets


def test_the_pool_may_be_left_alone(workspace):
    made = probe.probe(workspace, pool=False).data
    assert made.pool == 0
    assert not workspace.pool_features.exists()


def test_without_a_frozen_network_the_key_is_named(workspace):
    params = yaml.safe_load(Path("configs/params.yaml").read_text())
    params["embed"]["model"] = "none"
    Path("configs/params.yaml").write_text(yaml.safe_dump(params))
    with pytest.raises(UsageError, match="frozen network"):
        probe.probe(workspace)


def test_a_library_of_one_class_is_refused_with_what_would_help(workspace):
    rows = Path("data/labels.csv").read_text().splitlines(keepends=True)
    labels("".join(row for row in rows if ",lion," in row))
    with pytest.raises(DataError, match="too few classes") as refused:
        probe.probe(workspace)
    assert refused.value.where == "data/labels.csv"
    assert not Path(".wallaby/probe").exists()


def test_an_import_ends_in_a_portrait_or_says_why_there_is_none_and_its_exit_code_stands(workspace):
    imported = Answer({"added": 3}, "3 images are added", Exit.SOME_FAILED)
    shown = []
    answer = probe.after_import(workspace, imported, shown.append)
    answer.show()
    assert (answer.code, shown[0].classes) == (Exit.SOME_FAILED, 2)
    labels("library/lion/000.bmp,lion,,real,,ok,,,,,\n")
    answer = probe.after_import(workspace, imported, shown.append)
    assert answer.show is None
    assert "no portrait yet: too few classes" in answer.text
    assert answer.code == Exit.SOME_FAILED


def test_a_large_library_is_left_to_the_command(workspace, monkeypatch):
    monkeypatch.setattr(probe, "AT_ONCE", 10)
    assert "wallaby probe" in probe.after_import(workspace, Answer({}, ""), print).text
    assert not workspace.library_table.exists()


def test_its_queue_is_decided_in_a_spreadsheet_as_that_of_a_round(workspace):
    golden.put("images/library/lion/other.bmp", picture(900, HUES["owl"]))
    rows = Path("data/labels.csv").read_text().splitlines(keepends=True)[1:]
    labels("".join(rows) + "library/lion/other.bmp,lion,,real,,unknown,,,,,\n")
    folder = Path(probe.probe(workspace).data.queue_folder)
    review.write_sheet(workspace, Path("sheet.csv"), queue=folder)
    sheet = pd.read_csv("sheet.csv", keep_default_na=False)
    sheet.loc[sheet["image"] == "library/lion/other.bmp", "decision"] = "owl"
    sheet.to_csv("sheet.csv", index=False)
    taken = review.take(workspace, Path("sheet.csv"), queue=folder, by="Ann", at="2026-01-02T00:00:00Z")
    assert taken.data["decisions"] == 1
