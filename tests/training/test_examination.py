"""The examination of a whole workspace, and the reading of pictures in all parts of the program."""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from builders import phash, put, sha
from PIL import Image

from pipeline import bundle, cli, paths
from pipeline.errors import DataError
from pipeline.files import write_table
from pipeline.inference.runtimes.keras import KerasRuntime
from pipeline.library import lineage, pictures
from pipeline.training import alike, doctor, examination
from pipeline.training.doctor import FAIL, PASS
from tests.networks import SIDE, coloured, save_bundle, tiny

PARAMS = Path(__file__).parents[2] / "configs" / "params.yaml"
LABELS = ["cat", "dog", "owl"]


@pytest.fixture
def source() -> bundle.Bundle:
    return bundle.Bundle(tiny(), LABELS, bundle.Card("tiny", SIDE, temperature=2.0), lineage.empty())


def noisy(folder: Path) -> list[Path]:
    return [put(folder / f"{n}.png", Image.fromarray(picture)) for n, picture in enumerate(coloured(3)[0])]


def test_all_parts_read_real_and_awkward_pictures_alike(source, tmp_path):
    found = alike.read_alike(source, noisy(tmp_path), tmp_path / "work")
    assert found.verdict == PASS, found.measured
    assert "7 pictures, equal pixels" in found.measured


def test_the_awkward_pictures_are_what_they_are_called(tmp_path):
    modes = {path.stem: Image.open(path).mode for path in alike.awkward(tmp_path)}
    assert modes == {"on-its-side": "RGB", "cmyk": "CMYK", "palette": "P", "16-bit": "I;16"}
    assert Image.open(tmp_path / "on-its-side.jpg").getexif()[pictures.ORIENTATION_TAG] == 6


@pytest.mark.parametrize("part", ["train", "identify"])
@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (lambda path, size: np.asarray(Image.open(path).convert("RGB").resize((size, size), 2)), "on-its-side.jpg"),
        (lambda path, size: pictures.read(path, size)[..., ::-1], "0.png"),
        (lambda path, size: pictures.read(path, size // 2).repeat(2, axis=0).repeat(2, axis=1), "0.png"),
    ],
    ids=["EXIF ignored", "BGR", "too small"],
)
def test_a_part_that_reads_in_its_own_way_is_found(source, tmp_path, monkeypatch, part, fault, named):
    if part == "train":

        def decode(paths, size, out):
            return np.stack([fault(path, size) for path in paths])

        monkeypatch.setattr(alike, "decode_all", decode)
    else:

        def read(paths, sizes, batch_size):
            yield [np.stack([fault(path, sizes[0]) for path in paths])], [""] * len(paths)

        monkeypatch.setattr(alike, "read_batches", read)
    found = alike.read_alike(source, noisy(tmp_path), tmp_path / "work")
    assert found.verdict == FAIL
    assert "train and identify differ in" in found.measured
    assert named in found.measured


def test_a_temperature_that_one_part_forgets_is_found(source, tmp_path, monkeypatch):
    plain = bundle.replace(source, card=bundle.replace(source.card, temperature=1.0))
    monkeypatch.setattr(alike, "KerasRuntime", lambda _, batch_size: KerasRuntime(plain, batch_size))
    found = alike.read_alike(source, noisy(tmp_path), tmp_path / "work")
    assert found.verdict == FAIL
    assert "scores of train and identify differ" in found.measured


def test_a_picture_that_has_gone_is_named(source, tmp_path):
    found = alike.read_alike(source, [tmp_path / "gone.png"], tmp_path / "work")
    assert found.verdict == FAIL
    assert "gone.png: missing" in found.measured


def test_some_of_each_class_are_chosen_and_always_the_same():
    rows = pd.DataFrame({"label": list("aaaaaabbc"), "sha256": [sha(n) for n in range(9)]})
    chosen = examination.some_of_each(rows, 5)
    assert chosen["label"].value_counts().to_dict() == {"a": 2, "b": 2, "c": 1}
    again = examination.some_of_each(rows.sample(frac=1, random_state=0), 5)
    assert again["sha256"].tolist() == chosen["sha256"].tolist()
    assert len(examination.some_of_each(rows, 50)) == 9


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A base that has seen nothing, and data sets of forty pictures."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    text = re.sub(r"(?m)^    library: .*$", "    library: shots", PARAMS.read_text(encoding="utf-8"))
    text = text.replace("learning_rate: 0.001", "learning_rate: 0.02")  # the tiny network is slow
    put(tmp_path / "configs" / "params.yaml", text.encode())
    seen, targets = coloured(40)
    names = [f"library/{n:02d}.png" for n in range(40)]
    for name, picture in zip(names, seen, strict=True):
        put(tmp_path / "shots" / Path(name).name, Image.fromarray(picture))
    rows = pd.DataFrame({"image": names, "label": [LABELS[target] for target in targets]})
    rows["sha256"], rows["phash"] = [sha(name) for name in names], [phash(name) for name in names]
    rows["flip"] = True
    rows["set"] = ["val" if n % 10 > 7 else "test" if n % 10 > 6 else "train" for n in range(40)]
    write_table(rows, paths.SPLITS / "splits.parquet")
    save_bundle(paths.BASE, classes=[])
    return rows


def told(capsys, *arguments: str) -> tuple[int, dict]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["doctor", "--json", *arguments])
    return ended.value.code, json.loads(capsys.readouterr().out)


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".wallaby" not in path.parts
    }


def test_the_doctor_examines_a_workspace_and_writes_nothing_in_it(workspace, tmp_path, capsys):
    before = everything(tmp_path)
    code, result = told(capsys)
    verdicts = {finding["check"]: finding["verdict"] for finding in result["findings"]}
    assert len(verdicts) == 7
    assert verdicts["the network can overfit 28 images"] == PASS
    assert set(verdicts.values()) == {PASS}, result
    assert (code, result["passed"]) == (0, True)
    assert everything(tmp_path) == before
    assert list((tmp_path / ".wallaby").iterdir()) == []


def test_a_fault_ends_with_exit_code_3_and_what_to_do(workspace, tmp_path, capsys):
    workspace.loc[workspace["label"] == "owl", "set"] = "test"
    write_table(workspace, paths.SPLITS / "splits.parquet")
    code, result = told(capsys, "--quick")
    assert (code, result["passed"], len(result["findings"])) == (3, False, 5)
    failed = [finding for finding in result["findings"] if finding["verdict"] == FAIL]
    assert [finding["check"] for finding in failed] == ["every class is present"]
    assert "owl" in failed[0]["measured"]
    assert failed[0]["mend"]


def test_the_table_says_what_to_do(capsys):
    from pipeline.terminal import training as terminal

    findings = [doctor.Finding("one", PASS, "fine"), doctor.Finding("two", FAIL, "9 [of] 10", "mend it")]
    terminal.findings([vars(finding) for finding in findings])
    shown = capsys.readouterr().out
    assert "9 [of] 10" in shown
    assert "do: mend it" in shown
    assert "1 of 2 checks failed: do not train yet" in shown


def test_without_a_base_there_is_one_clear_error(workspace, tmp_path):
    (tmp_path / paths.BASE / "card.json").unlink()
    with pytest.raises(DataError, match="the bundle is incomplete"):
        examination.examine(quick=True)
