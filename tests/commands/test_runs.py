"""`wallaby runs`: all versions as tables, from what MLflow says; and the page and the terminal that show them."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import cli
from pipeline.cli.answers import print_answer, to_json
from pipeline.cli.tables import rounds as tables
from pipeline.commands import runs
from pipeline.errors import DataError, UsageError
from pipeline.evaluation import over_rounds
from pipeline.evaluation import runs as runs_tables
from pipeline.files import write_csv, write_text
from pipeline.library import classes
from pipeline.tracking import Tracking
from pipeline.workspace import Workspace

REPOSITORY = Path(__file__).parents[2]
EVENTS = "event,class,to,min_images,flip,by,at,note\n"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    """Two rounds and a throw-away in a store of their own, in a repository that has no round's files."""
    made = Workspace(tmp_path_factory.mktemp("repository"))
    shutil.copytree(REPOSITORY / "configs", made.root / "configs")
    write_text(EVENTS, made.classes)
    made.reviews.mkdir(parents=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        first = round_(made, 1, right=70, classes=2)
        second = round_(made, 2, right=90, classes=3, base=first)
        round_(made, 2, right=95, classes=4, base=second, throwaway="true")
        yield made


def round_(
    workspace: Workspace, number: int, *, right: int, classes: int, base: str = "", throwaway: str = "false"
) -> str:
    """A run of which the model names `right` of 100 test images; returns its id."""
    tracking = Tracking(workspace.home)
    run_id = tracking.start(
        f"round-{number}",
        params={"classes": classes, "images_train": 100 * number, "images_val": 10, "images_test": 10},
        tags={"round": str(number), "base_run_id": base, "throwaway": throwaway},
    )
    named = np.arange(100) < right
    scores = pd.DataFrame(
        {
            "content": [f"{i:016x}" for i in range(100)],
            "set": "test",
            "label": "cat",
            "predicted": np.where(named, "cat", "dog"),
            "score": 0.9,
            "label_rank": np.where(named, 1, 2),
        }
    )
    table = pd.DataFrame(
        {"set": ["test", "train"], "label": "cat", "n": [100, 50 * number], "recall": [right / 100, 1.0]}
    )
    file = workspace.root / "per_class.csv"
    write_csv(table, file)
    tracking.log_training(
        run_id, pd.DataFrame({"epoch": [1], "loss": [1.0]}), {"training/seconds": 90.0, "training/epochs": 9}
    )
    tracking.log_evaluation(
        run_id,
        "",
        {"test/n": 100, "test/top1": right / 100, "test/top5": 1.0, "test/macro_f1": 0.5, "val/n": 5, "val/top1": 1.0},
        [file],
        tables={"scores": scores, "bands": over_rounds.by_band(scores)},
        tags={"model_digest": f"{number}{throwaway[0]}" * 32, "version.test": "abc"},
    )
    return run_id


@pytest.fixture
def known(workspace) -> runs.Runs:
    return runs.read(workspace)


def test_a_version_says_what_it_was_made_of_and_what_is_new(known):
    second = known.table.iloc[1]
    assert (second["round"], second["parent"], second["model"]) == ("2", "1", "2f" * 6)
    assert (second["classes"], second["new classes"], second["images"], second["new images"]) == (3, 1, 220, 100)
    assert (second["epochs"], second["minutes"], second["test"]) == (9, 1.5, 0.9)
    assert known.table["throw-away"].tolist() == [False, False, True]


def test_every_score_has_its_interval_and_its_version(known):
    [first] = known.sets[(known.sets["set"] == "test") & (known.sets["round"] == "1")].to_dict("records")
    assert (first["n"], first["top1"], first["macro_f1"], first["version"]) == (100, 0.7, 0.5, "abc")
    assert first["low"] < 0.7 < first["high"]
    assert pd.isna(first["ece"])


@pytest.mark.parametrize(("name", "expected"), [("1", 0), ("2", 1), ("2f2f", 1), ("2t2t2t", 2)])
def test_a_version_is_named_by_its_round_or_its_digest(known, name, expected):
    assert runs_tables.find(known.table, name).name == expected


@pytest.mark.parametrize("name", ["7", "2x", "", "ffffff"])
def test_an_unknown_version_is_refused(known, name):
    with pytest.raises(UsageError, match="no version is called"):
        runs_tables.find(known.table, name)


def test_the_difference_of_two_rounds_names_what_flipped(workspace):
    found = runs.diff(workspace, "1", "2").data
    assert (found["before"], found["after"]) == (f"round 1 ({'1f' * 6})", f"round 2 ({'2f' * 6})")
    assert len(found["flips"]) == 20
    [row] = found["classes"]
    assert (row["label"], row["gained"], row["lost"]) == ("cat", 20, 0)


def test_a_version_whose_scores_were_deleted_has_no_difference_and_is_still_listed(known):
    with pytest.raises(DataError, match="there are no scores of round 1"):
        runs_tables.stored(None, known.table.iloc[0], classes.none())


def test_an_older_class_goes_by_todays_name():
    merged = classes.check(pd.DataFrame([{"event": "merge", "class": "dog", "to": "cat"}]), "")
    table = pd.DataFrame({"label": ["cat"], "predicted": ["dog"], "label_rank": [2]})
    assert runs_tables.stored(table, pd.Series(dtype=object), merged)["label_rank"].tolist() == [1]
    gathered = runs_tables.gather({1: pd.DataFrame({"label": ["dog"]}), 2: None}, merged)
    assert gathered[["round", "label"]].to_numpy().tolist() == [[1, "cat"]]


def test_minutes_of_reviewing_belong_to_the_round_that_they_opened(known):
    times = pd.to_datetime(known.runs["start_time"], utc=True)
    between = times[0] + (times[1] - times[0]) / 2
    decisions = pd.DataFrame({"by": "Ada", "at": [(between + pd.Timedelta(i, "ms")).isoformat() for i in range(2)]})
    rounds = runs_tables.rounds_of(known.table)
    found = runs_tables.reviewed(decisions, known.runs, rounds).set_index("round")["minutes"]
    assert found[2] == pytest.approx(0.001 / 60)
    assert pd.isna(found[1])


def test_the_page_holds_curve_classes_bands_and_ledger(workspace):
    answer = runs.html(workspace)
    page = workspace.cache("runs.html").read_text()
    assert answer.data["page"].endswith("runs.html")
    assert page.count("<figure>") == 1
    assert "2 rounds and 1 throw-away" in page
    assert "round 2: 90.0% of 100" in page
    assert "+20.00" in page  # the gain in the ledger


def test_the_tables_show_all_of_it(workspace, known, capsys):
    tables.runs(known.table, known.sets)
    text = capsys.readouterr().out
    assert "Throw-aways" in text
    assert "90.0%" in text
    tables.difference(runs.diff(workspace, "1", "2").data)
    assert "20 images flipped" in capsys.readouterr().out
    ledger = runs.ledger(workspace)
    print_answer(ledger.as_table(tables.ledger), as_json=False)
    assert "+20.00" in capsys.readouterr().out
    assert ledger.data["ledger"][1]["round"] == 2
    assert '"new classes": null' in to_json(runs.listed(workspace).data)


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["dif", "1", "2"], "did you mean 'diff'?"),
        (["diff", "1"], "`wallaby runs diff --help` shows what it takes"),
        (["diff", "1", "2", "3"], "`wallaby --help` shows what it takes"),
    ],
)
def test_a_difference_takes_two_versions(words, hint):
    with pytest.raises(UsageError) as refused:
        cli.program().parse(["runs", *words])
    assert refused.value.mend == hint


@pytest.mark.parametrize("line", ["runs --json diff 1 2f2f", "runs diff --json 1 2f2f", "runs diff 1 2f2f --json"])
def test_a_flag_stands_before_or_after_the_action(line):
    args = cli.program().parse(line.split())
    assert (args.run.__name__, args.json, args.a, args.b) == ("runs_diff", True, "1", "2f2f")


def test_a_repository_without_rounds_has_no_runs_and_gets_no_store(tmp_path, capsys):
    empty = Workspace(tmp_path)
    shutil.copytree(REPOSITORY / "configs", tmp_path / "configs")
    write_text(EVENTS, empty.classes)
    found = runs.listed(empty).data
    tables.runs(found.table, found.sets)
    assert "no rounds yet" in capsys.readouterr().out
    assert runs.ledger(empty).data == {"ledger": [], "costs": [], "hints": []}
    assert not (tmp_path / "mlflow.db").exists()


@pytest.fixture
def clone(workspace, known, tmp_path) -> Workspace:
    """What git has of the repository: on another machine, where no store is."""
    made = Workspace(tmp_path / "clone")
    for folder in ("configs", "data"):
        shutil.copytree(workspace.root / folder, made.root / folder)
    return made


def test_a_round_of_an_older_store_is_recorded_once(workspace, known):
    files = sorted(path.name for path in workspace.rounds.iterdir())
    assert files == [f"1-{'1f' * 6}.json", f"2-{'2f' * 6}.json"]  # and no throw-away
    before = [path.read_bytes() for path in sorted(workspace.rounds.iterdir())]
    runs.read(workspace)
    assert [path.read_bytes() for path in sorted(workspace.rounds.iterdir())] == before


def test_a_clone_without_a_store_lists_draws_and_counts_the_same_rounds(clone, known, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = runs.read(clone)
    rounds = known.table[~known.table["throw-away"]]
    pd.testing.assert_frame_equal(found.table, rounds[found.table.columns], check_dtype=False)
    pd.testing.assert_frame_equal(found.sets, known.sets[~known.sets["throwaway"]].reset_index(drop=True))
    ledger = runs.ledger(clone).data
    assert ledger["ledger"][1]["gain"] == pytest.approx(0.2)
    assert ledger["costs"][1]["training_hours"] == 0.025
    runs.html(clone)
    page = clone.cache("runs.html").read_text()
    assert "2 rounds" in page
    assert "Hours" in page
    assert not (clone.root / "mlflow.db").exists()


def test_a_clone_without_scores_compares_two_rounds_by_their_records(clone, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    found = runs.diff(clone, "1", "2").data
    assert found["without"] == [f"round 1 ({'1f' * 6})", f"round 2 ({'2f' * 6})"]
    tables.difference(found)
    text = capsys.readouterr().out
    assert "70.0% of 100" in text
    assert "+20.0" in text
    assert "dvc fetch" in text


def test_a_store_is_filled_from_the_records_once_and_tells_the_same(clone, known, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert runs.rebuild(clone).data["made"] == [f"round-1-{'1f' * 6}", f"round-2-{'2f' * 6}"]
    assert runs.rebuild(clone).data["made"] == []
    stored = Tracking(clone.home).runs()
    assert stored["params.classes"].tolist() == ["2", "3"]
    assert stored["metrics.test_accuracy"].tolist() == [0.7, 0.9]
    assert [name.split()[::2] for name in stored["tags.mlflow.runName"]] == [
        ["round-1", "1f" * 4],
        ["round-2", "2f" * 4],
    ]
    assert stored["start_time"].dt.date.tolist() == known.runs["start_time"].dt.date.tolist()[:2]
    shutil.rmtree(clone.rounds)
    again = runs.read(clone).table
    assert again["round"].tolist() == ["1", "2"]
    assert again["parent"].tolist() == ["", "1"]
    assert again["test"].tolist() == [0.7, 0.9]


def test_a_damaged_record_is_left_out_with_a_line(clone, monkeypatch, capsys):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    damaged = clone.rounds / f"1-{'1f' * 6}.json"
    damaged.write_text(damaged.read_text()[:500])
    assert runs.read(clone).table["round"].tolist() == ["2"]
    assert f"warning: {damaged} is left out" in capsys.readouterr().err


def test_no_rounds_at_all_is_no_error(capsys):
    nothing = runs_tables.table(pd.DataFrame())
    tables.runs(nothing, runs_tables.sets(pd.DataFrame(), confidence=0.95))
    assert "no rounds yet" in capsys.readouterr().out
    assert runs_tables.rounds_of(nothing).empty
    assert runs_tables.gather({1: None}, classes.none()).empty


def test_in_a_sub_directory_the_store_has_the_same_address(workspace, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(workspace.reviews)
    assert Tracking(Workspace.find({}).home).uri == Tracking(workspace.home).uri


def test_a_throw_away_that_repeats_a_rounds_training_is_listed_beside_it():
    """Equal weights have equal digests; a run that a rebuilt store has of a recorded round is the round's."""
    recorded = pd.DataFrame({"run_id": ["r1"], "tags.model_digest": ["a" * 64], "start_time": ["2026-01-01"]})
    stored = pd.DataFrame(
        {
            "run_id": ["again", "ablation"],
            "tags.model_digest": ["a" * 64] * 2,
            "tags.throwaway": ["false", "true"],
            "start_time": ["2026-01-02"] * 2,
        }
    )
    assert runs._together(recorded, stored)["run_id"].tolist() == ["r1", "ablation"]
