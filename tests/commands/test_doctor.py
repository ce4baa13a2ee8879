"""The examination of a whole workspace before a long training."""

import re
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from pipeline import config
from pipeline.cli.tables import training as tables
from pipeline.commands import doctor
from pipeline.errors import DataError, Exit
from pipeline.files import write_table
from pipeline.training.doctor import FAIL, PASS, Finding
from pipeline.workspace import Workspace
from tests.library.builders import phash, put, sha
from tests.networks import coloured, save_bundle

PARAMS = Path(__file__).parents[2] / config.PARAMS
LABELS = ["cat", "dog", "owl"]


@pytest.fixture
def workspace(tmp_path) -> Workspace:
    """A base that has seen nothing, and data sets of forty images."""
    workspace = Workspace(tmp_path)
    text = re.sub(r"(?m)^    library: .*$", "    library: shots", PARAMS.read_text(encoding="utf-8"))
    text = text.replace("learning_rate: 0.001", "learning_rate: 0.02")  # the tiny network is slow
    put(workspace.params_file, text.encode())
    seen, targets = coloured(40)
    names = [f"library/{n:02d}.png" for n in range(40)]
    for name, picture in zip(names, seen, strict=True):
        put(tmp_path / "shots" / Path(name).name, Image.fromarray(picture))
    rows = pd.DataFrame({"image": names, "label": [LABELS[target] for target in targets]})
    rows["sha256"], rows["phash"] = [sha(name) for name in names], [phash(name) for name in names]
    rows["flip"] = True
    rows["set"] = ["val" if n % 10 > 7 else "test" if n % 10 > 6 else "train" for n in range(40)]
    write_table(rows, workspace.splits_table)
    save_bundle(workspace.base, classes=[])
    return workspace


def everything(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".wallaby" not in path.parts
    }


def test_the_doctor_examines_a_workspace_and_writes_nothing_in_it(workspace):
    before = everything(workspace.root)
    answer = doctor.examine(workspace, quick=False)
    verdicts = {finding.check: finding.verdict for finding in answer.data["findings"]}
    assert len(verdicts) == 7
    assert verdicts["the network can overfit 28 images"] == PASS
    assert set(verdicts.values()) == {PASS}, answer.data
    assert (answer.code, answer.data["passed"]) == (Exit.DONE, True)
    assert everything(workspace.root) == before
    assert list((workspace.root / ".wallaby").iterdir()) == []


def test_a_fault_ends_with_exit_code_3_and_what_to_do(workspace):
    rows = pd.read_parquet(workspace.splits_table)
    rows.loc[rows["label"] == "owl", "set"] = "test"
    write_table(rows, workspace.splits_table)
    answer = doctor.examine(workspace, quick=True)
    assert (answer.code, answer.data["passed"], len(answer.data["findings"])) == (3, False, 5)
    failed = [finding for finding in answer.data["findings"] if finding.verdict == FAIL]
    assert [finding.check for finding in failed] == ["every class is present"]
    assert "owl" in failed[0].measured
    assert failed[0].mend


def test_the_table_says_what_to_do(capsys):
    tables.findings([Finding("one", PASS, "fine"), Finding("two", FAIL, "9 [of] 10", "mend it")])
    shown = capsys.readouterr().out
    assert "9 [of] 10" in shown
    assert "do: mend it" in shown
    assert "1 of 2 checks failed: do not train yet" in shown


def test_without_a_base_there_is_one_clear_error(workspace):
    (workspace.base / "card.json").unlink()
    with pytest.raises(DataError, match="the bundle is incomplete"):
        doctor.examine(workspace, quick=True)
