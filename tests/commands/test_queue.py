"""`wallaby queue`, over a made-up pool."""

import shutil
from pathlib import Path

import pytest

from pipeline.commands import queue
from pipeline.errors import DataError, UsageError
from pipeline.files import write_table
from pipeline.review.recipes import reading
from pipeline.workspace import Workspace
from tests.review.made_up_pools import material, predictions

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def ask(tmp_path, monkeypatch):
    """Asks over two emus and a dog, of a model that the round's own is told to be."""
    workspace = Workspace(tmp_path)
    workspace.params_file.parent.mkdir()
    shutil.copy(ROOT / "configs/params.yaml", workspace.params_file)
    workspace.reviews.mkdir(parents=True)
    made = material(tmp_path / "made", predictions(a=("emu", 0.9), b=("emu", 0.6), c=("dog", 0.2)))
    monkeypatch.setattr(reading, "gather", lambda *folders, **more: made)
    monkeypatch.setattr(queue, "_refuse_another_model", lambda workspace, material: None)

    def ask(name, *classes, max_rows=None, out=None, **options):
        return queue.ask(workspace, name, classes=classes, options=options, max_rows=max_rows, out=out).data

    return ask


def test_a_recipe_is_asked_with_parameters_of_one_s_own(ask):
    assert len(ask("low-count").found.rows) == 2
    assert len(ask("low-count", min_score=0.7).found.rows) == 1
    assert len(ask("low-count", max_rows=1).found.rows) == 1


def test_the_answer_is_json_with_each_row_s_reason(ask):
    listed = ask("low-count", min_score=0.7).as_dict()
    assert listed["rows"][0]["reason"].startswith("emu has only 10 images")
    assert listed["rows"][0]["top_labels"] == ["emu", "owl", "rat"]
    assert listed["params"] == {"max_rows": 200, "low_count_below": 1.5, "low_count_score": 0.7}


def test_an_empty_answer_says_what_let_nothing_through(ask):
    answer = ask("low-count", "dog", min_score=0.9)
    assert answer.found.rows.empty
    assert "low_count_score 0.9" in answer.notes[-1] or "embeddings" in answer.notes[0]


def test_an_unknown_class_offers_the_nearest(ask):
    with pytest.raises(UsageError, match="unknown class 'emuu'") as error:
        ask("low-count", "emuu")
    assert error.value.mend == "did you mean 'emu'?"


def test_an_option_of_another_recipe_is_refused_with_those_there_are(ask):
    with pytest.raises(UsageError, match="low-count takes no --share") as error:
        ask("low-count", share=0.3)
    assert error.value.mend == "it takes --below, --min-score"


def test_a_value_out_of_range_is_refused(ask):
    with pytest.raises(UsageError, match=r"low_count_score is 1\.5"):
        ask("low-count", min_score=1.5)


def test_purge_low_is_asked_only_when_what_others_show_is_known(ask):
    with pytest.raises(DataError, match="a table is missing"):
        ask("purge-low")


@pytest.mark.parametrize("name", ["page.html", "sheet.csv", "table.parquet"])
def test_an_answer_is_written_as_table_sheet_or_page(ask, tmp_path, name):
    ask("low-count", out=tmp_path / name)
    assert (tmp_path / name).stat().st_size > 0


def test_an_unknown_ending_is_refused(ask):
    with pytest.raises(UsageError, match=r"unknown ending '\.xlsx'"):
        ask("low-count", out=Path("queue.xlsx"))


def test_without_predictions_a_recipe_says_what_to_run(tmp_path):
    write_table(predictions(), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="there are no predictions yet") as error:
        reading.gather(*[tmp_path] * 6, cache_folder=tmp_path, limits={})
    assert error.value.mend == "run `dvc repro`"
