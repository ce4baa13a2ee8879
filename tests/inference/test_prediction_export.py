"""Predictions as files of other tools, held against what those document."""

import csv
import json
import re
import sys
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest

from pipeline import cli
from pipeline.errors import Exit, UsageError
from pipeline.files import read_table, write_json, write_table
from pipeline.inference import prediction_export, shards, store
from pipeline.inference.prediction_export import Selection
from pipeline.library import label_studio
from tests.inference.shade import Shade, grey, identify, table

EVERYTHING = Selection()
DOCS = Path(__file__).parents[2] / "docs" / "other_tools.md"


@pytest.fixture
def write(tmp_path):
    """Nine images from dark to light, of which number 3 has failed, in three shards."""
    for n in range(9):
        grey(tmp_path / "pictures" / "my pool" / f"{n}, é.png", 28 * n)
    index = table(tmp_path / "pictures" / "my pool")
    index.loc[3, "failure"] = "damaged or cut short"
    identify(index, tmp_path / "pictures" / "my pool", tmp_path / "out", Shade(model="0123456789abcdef"))
    folders = {"pool": tmp_path / "pictures" / "my pool", "library": tmp_path / "pictures" / "library"}

    def call(name: str, selection: Selection = EVERYTHING) -> tuple[int, Path]:
        out = tmp_path / prediction_export.FORMATS[name].file
        return prediction_export.write(name, tmp_path / "out", out, selection=selection, folders=folders), out

    return call


def test_the_csv_has_a_row_an_image_and_opens_anywhere(write, tmp_path):
    number, out = write("csv")
    with out.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert number == len(rows) == 9
    assert [row["failure"] for row in rows if row["failure"]] == ["damaged or cut short"]
    last = rows[-1]
    assert last["file"] == str(tmp_path / "pictures" / "my pool" / "8, é.png")
    assert (last["label"], last["label_2"], last["model"]) == ("light", "dark", "0123456789abcdef")
    assert float(last["score"]) == pytest.approx(224 / 255)
    assert float(last["score_2"]) == pytest.approx(31 / 255)


def test_the_megadetector_file_is_as_its_format_says(write):
    """The rules of https://lila.science/megadetector-output-format, each."""
    number, out = write("megadetector")
    said = json.loads(out.read_text(encoding="utf-8"))
    assert isinstance(said["info"]["format_version"], str)
    assert float(said["info"]["format_version"]) >= 1.4
    for categories in ("detection_categories", "classification_categories"):
        assert said[categories]
        assert all(key.isdigit() and name for key, name in said[categories].items())
    assert len(said["images"]) == number == 9
    for image in said["images"]:
        assert not image["file"].startswith("/")
        if image.get("failure"):
            assert image["detections"] is None
            continue
        for detection in image["detections"]:
            assert detection["category"] in said["detection_categories"]
            assert 0 <= detection["conf"] <= 1
            x, y, width, height = detection["bbox"]
            assert min(x, y) >= 0
            assert max(x + width, y + height) <= 1
            keys, scores = zip(*detection["classifications"], strict=True)
            assert set(keys) <= set(said["classification_categories"])
            assert list(scores) == sorted(scores, reverse=True)
    assert said["images"][3] == {"file": "my pool/3, é.png", "failure": "damaged or cut short", "detections": None}
    best, _ = said["images"][8]["detections"][0]["classifications"][0]
    assert said["classification_categories"][best] == "light"


def test_label_studio_gets_tasks_with_predictions_the_least_certain_first(write):
    number, out = write("label-studio")
    tasks = json.loads(out.read_text(encoding="utf-8"))
    assert number == len(tasks) == 8
    scores = [task["predictions"][0]["score"] for task in tasks]
    assert scores == sorted(scores)
    (prediction,) = tasks[0]["predictions"]
    assert prediction["model_version"] == "0123456789ab"
    (result,) = prediction["result"]
    assert result == {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": ["light"]}}
    assert re.fullmatch("[0-9a-f]{64}", tasks[0]["data"]["image_id"])


def test_what_people_choose_in_label_studio_comes_back(write, tmp_path):
    _, out = write("label-studio", Selection(limit=1))
    (task,) = json.loads(out.read_text(encoding="utf-8"))
    choice = [{"from_name": "label", "value": {"choices": ["tapir"]}}]
    write_json([task | {"id": 1, "annotations": [{"result": choice}]}], tmp_path / "export.json")
    rows, conflicts, unlabelled = label_studio.read(tmp_path / "export.json")
    assert (rows["file"].tolist(), rows["label"].tolist()) == (["my pool/5, é.png"], ["tapir"])
    assert (len(conflicts), unlabelled) == (0, 0)


def test_the_loader_in_the_documentation_loads_every_image_into_fiftyone(write, tmp_path, monkeypatch):
    number, out = write("fiftyone")
    (tmp_path / "data" / "export").mkdir(parents=True)
    out.rename(tmp_path / "data" / "export" / "fiftyone.csv")
    monkeypatch.chdir(tmp_path)
    made: list[SimpleNamespace] = []
    fiftyone = Mock(Sample=SimpleNamespace, Classification=SimpleNamespace)
    fiftyone.Dataset.return_value.add_samples.side_effect = made.extend
    monkeypatch.setitem(sys.modules, "fiftyone", fiftyone)
    (loader,) = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len([line for line in loader.splitlines() if line.strip()]) <= 16
    exec(loader, {})
    assert number == len(made) == 8
    assert all(Path(sample.filepath).is_file() for sample in made)
    assert (made[-1].prediction.label, round(made[-1].prediction.confidence, 3)) == ("light", 0.878)


@pytest.mark.parametrize(
    ("selection", "images"),
    [
        (Selection(label="light"), [5, 6, 7, 8]),
        (Selection(max_score=0.6), [4, 5]),
        (Selection(min_score=0.85), [0, 1, 8]),
        (Selection(label="dark", min_score=0.6), [0, 1, 2]),
        (Selection(limit=5), [0, 1, 2, 3, 4]),
        (Selection(label="light", limit=2), [5, 6]),
        (Selection(min_score=0.99, label="light"), []),
    ],
)
def test_images_are_chosen_by_class_and_score(write, selection, images):
    number, out = write("csv", selection)
    found = pd.read_csv(out)["image"].tolist() if images else []
    assert found == [f"pool/{n}, é.png" for n in images]
    assert number == len(images)


def test_a_class_that_was_never_predicted_is_refused_and_the_nearest_is_offered(write):
    with pytest.raises(UsageError, match="no image was predicted as 'lihgt'") as refused:
        write("csv", Selection(label="lihgt"))
    assert "did you mean 'light'" in refused.value.mend


def test_the_command_writes_validates_and_replaces_nothing_unasked(write, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    params = (Path(__file__).parents[2] / "configs" / "params.yaml").read_text(encoding="utf-8")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "params.yaml").write_text(params.replace("data/demo/pool", "pictures/my pool"), "utf-8")
    (tmp_path / "data").mkdir()
    (tmp_path / "out").rename(tmp_path / "data" / "predictions")
    write_json({"pool": 9, "identified": 8, "failed": 1, "skipped": 0}, tmp_path / "data/predictions/summary.json")

    def wallaby(*words: str, code: int = 0) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(list(words))
        assert ended.value.code == code
        said = capsys.readouterr()
        return said.out + said.err

    assert "would write" in wallaby("export", "csv", "--dry-run")
    assert not (tmp_path / "data" / "export").exists()
    assert json.loads(wallaby("export", "csv", "--json"))["images"] == 9
    assert "9 images" in wallaby("export", "csv")  # its own file below data/export is its to replace
    (tmp_path / "mine.csv").write_text("mine")
    assert "there is a file already" in wallaby("export", "csv", "--out", "mine.csv", code=Exit.USAGE)
    assert (tmp_path / "mine.csv").read_text() == "mine"
    wallaby("export", "csv", "--out", "mine.csv", "--replace", "--limit", "2")
    assert len(pd.read_csv("mine.csv")) == 2
    assert "did you mean 'megadetector'" in wallaby("export", "megadetecter", code=Exit.USAGE)
    assert "9 = 8 identified + 1 failed + 0 skipped" in wallaby("validate")
    shard = shards.listed(tmp_path / "data/predictions")[0]
    write_table(store.typed(read_table(shard).assign(score=np.nan)), shard, model="0123456789abcdef")
    assert "part-00000.parquet, row 1: neither a prediction" in wallaby("validate", code=Exit.DATA)
