"""A class that is called like a word of a decision comes in nowhere, and an old one is given another name."""

import json
import shlex
from pathlib import Path

import pandas as pd
import pytest

from pipeline import config
from pipeline.cli import main as wallaby
from pipeline.errors import DataError
from pipeline.files import write_csv, write_json, write_table, write_text
from pipeline.library import history, lineage
from pipeline.review import decisions, recipes
from pipeline.stages import curate, index
from pipeline.workspace import Workspace
from tests.library.builders import library_table, sha

ROOTS = ["library", "pool"]
HERE = Workspace(Path())
AT = "2026-03-01T12:00:00"
WORDS = ["bad", "Keep", "YES", "no", "label", "undo"]


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """Three lions, three tigers, and a queue of two pool images."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    params = (Path(__file__).parents[2] / "configs/params.yaml").read_text()
    rest = params[params.index("\nindex:") :].replace("min_images: 40", "min_images: 3")
    write_text("roots:\n  library: {library: library}\n  pool: {pool: pool}\n" + rest, tmp_path / config.PARAMS)
    label("lion", "tiger")
    write_text("image,sha256,score,by,at,model,note\n", HERE.quarantine)
    queue = pd.DataFrame({"image": ["pool/1.jpg", "pool/2.jpg"], "sha256": [sha(1), sha(2)], "label": "lion"})
    queue = queue.assign(group=["g", "h"], rank=[1, 2], score=0.5, reason="r")
    for number, recipe in enumerate(recipes.RECIPES):
        write_table(queue[: 0 if number else 2], HERE.queue / f"{recipe.name}.parquet")
    write_json({"model": "m1"}, HERE.predictions / "summary.json")
    write_table(
        library_table(*({"image": f"pool/{n}.jpg", "sha256": sha(n)} for n in (1, 2))), HERE.index / "pool.parquet"
    )
    for n in (1, 2):
        write_text(str(n), tmp_path / f"pool/{n}.jpg")
    return tmp_path


def label(*classes: str) -> None:
    rows = [(f"library/{name}/{n}.jpg", name) for name in classes for n in range(3)]
    write_csv(pd.DataFrame(rows, columns=["image", "label"]), HERE.labels)
    write_table(library_table(*({"image": image} for image, _ in rows)), HERE.index / "library.parquet")


def run(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        wallaby(arguments)
    return int(ended.value.code or 0)


def curated() -> list[str]:
    """The classes of the next round, as the stage makes them."""
    write_table(lineage.empty(), HERE.base / "lineage.parquet")
    history.write(HERE.base, *history.empty())
    curate.main(Workspace(Path()))
    return (HERE.curated / "classes.txt").read_text().split()


@pytest.mark.parametrize("word", WORDS)
def test_a_class_folder_called_like_a_word_is_not_imported(tmp_path, capsys, word):
    for name in ("zebra", word, "unknown"):
        write_text("", tmp_path / "mine" / name / "1.jpg")
    before = HERE.labels.read_bytes()
    assert run("import", "library", "mine", "--no-probe") == 3
    said = capsys.readouterr().err
    assert f"'{word}' is a word of the reviews, never a class" in said
    assert f"name it '{word}-image'" in said
    assert f"{word}/1.jpg" in said
    assert HERE.labels.read_bytes() == before
    (tmp_path / "mine" / word).rename(tmp_path / "mine" / f"{word}-image")
    assert run("import", "library", "mine", "--no-probe") == 0
    assert pd.read_csv(HERE.labels, keep_default_na=False)["status"].tolist().count("unknown") == 1


@pytest.mark.parametrize("kind", [["library"], ["benchmark", "field"]])
def test_neither_tables_nor_label_studio_bring_one_in(tmp_path, capsys, kind):
    write_text("", tmp_path / "mine/a.jpg")
    write_text("filepath,label\na.jpg,Undo\n", tmp_path / "mine/table.csv")
    chosen = {"result": [{"from_name": "label", "type": "choices", "value": {"choices": ["no"]}}]}
    write_text(json.dumps([{"id": 7, "data": {"image": "a.jpg"}, "annotations": [chosen]}]), tmp_path / "mine/out.json")
    assert run("import", *kind, "mine/table.csv") == 3
    assert "'Undo' is a word of the reviews, never a class" in capsys.readouterr().err
    assert run("import", *kind, "mine/out.json") == 3
    assert "task 7" in capsys.readouterr().err


def sheet(*answers: str) -> str:
    assert run("review", "--sheet", "sheet.csv") == 0
    write_csv(pd.read_csv("sheet.csv", keep_default_na=False).assign(decision=list(answers)), Path("sheet.csv"))
    return "sheet.csv"


@pytest.mark.parametrize("word", ["no", "Label", "undo "])
def test_a_sheet_s_other_words_are_no_classes(capsys, word):
    assert run("review", "--take", sheet("yes", word), "--by", "ann") == 3
    said = capsys.readouterr().err
    assert f"'{word.strip()}' is a word of the reviews, never a class: pool/2.jpg" in said
    assert "sheet.csv, row 3" in said
    assert not HERE.reviews.exists()


def test_a_sheet_s_own_words_mean_what_they_always_meant():
    assert run("review", "--take", sheet("YES", "Bad"), "--by", "ann") == 0
    log = decisions.read_all(HERE.reviews, ROOTS)
    assert log[["decision", "label"]].to_numpy().tolist() == [["label", "lion"], ["bad", ""]]


def test_a_new_decision_names_no_such_class():
    said = {"image": "pool/1.jpg", "decision": "label", "label": "Keep", "by": "ann", "at": AT}
    with pytest.raises(DataError, match="'Keep' is a word of the reviews"):
        decisions.append(said, HERE.reviews, "monday", ROOTS)
    assert run("apply", "--settle", "pool/1.jpg=no", "--by", "ann") == 3


@pytest.mark.parametrize(
    "event",
    [["rename", "lion", "bad"], ["merge", "lion", "Keep"], ["split", "lion/cub", "no"], ["rename", "lion", "undo"]],
)
def test_no_class_becomes_one_by_an_event(capsys, event):
    assert run("classes", *event) == 3
    assert "is a word of the reviews, never a class" in capsys.readouterr().err
    assert not HERE.classes.exists()


@pytest.mark.parametrize("word", WORDS)
def test_an_old_class_is_named_with_the_line_that_gives_it_another_name(capsys, word):
    label("lion", "tiger", word)
    with pytest.raises(DataError) as refused:
        curated()
    assert refused.value.what == f"'{word}' is a word of the reviews, never a class"
    assert refused.value.where == str(HERE.labels)
    assert refused.value.mend == f"wallaby classes rename {word} {word}-image"
    assert run("apply") == 3
    assert run(*shlex.split(refused.value.mend)[1:]) == 0
    assert run("apply") == 0
    assert curated() == sorted(["lion", "tiger", f"{word}-image"])
    assert f",{word}\n" in HERE.labels.read_text()  # the labels stay as people wrote them


def test_an_old_benchmark_and_old_decisions_are_named_and_healed_as_well():
    write_text("image,label\npool/2.jpg,bad\n", HERE.benchmarks / "field.csv")
    with pytest.raises(DataError, match="'bad' is a word") as refused:
        curated()
    assert refused.value.where == str(HERE.benchmarks)
    assert run(*shlex.split(refused.value.mend)[1:]) == 0
    write_text(f"image,decision,label,by,at\npool/1.jpg,label,keep,ann,{AT}\n", HERE.reviews / "old.csv")
    assert run("apply") == 3
    assert run("classes", "rename", "keep", "keep-image") == 0
    assert run("apply") == 0
    assert curated() == ["lion", "tiger"]


def test_the_name_that_is_proposed_is_one_that_no_class_has():
    label("lion", "bad", "bad-image")
    with pytest.raises(DataError) as refused:
        curated()
    assert refused.value.mend == "wallaby classes rename bad bad-image-2"
    assert run(*shlex.split(refused.value.mend)[1:]) == 0
    assert curated() == ["bad-image", "bad-image-2", "lion"]


def test_the_index_reads_such_a_table():
    label("lion", "bad")
    index.main(Workspace(Path()))
    assert (HERE.index / "library.parquet").exists()
