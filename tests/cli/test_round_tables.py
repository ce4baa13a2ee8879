"""What a person sees of a round on a terminal."""

from typing import Any

import pytest

from pipeline import cli
from pipeline.cli.tables import rounds as tables

TOLD: dict[str, Any] = {
    "round": 3,
    "model": "0ac9f25cc873",
    "index": {"moved": [], "missing": 0},
    "curated": {"kept": 8, "images": 9, "classes": 2, "excluded": {"unknown": 1}, "near_classes": [], "fallen": []},
    "splits": {},
    "training": {"best_epoch": 2, "epochs": 3, "seconds": 90.0},
    "metrics": {"test": {"n": 10, "independent": 10, "out_of_class": 0, "top1": 0.5}},
    "gate": {"verdict": "pass", "reason": "nothing is lost"},
    "predictions": {"identified": 4, "pool": 4, "failed": 0, "images_per_second": 9.0, "runtime": "keras"},
    "queue": {"unknown": {"images": 2, "decisions": 1}},
    "remote": "",
}
HOURS = {
    "round": 2,
    "reviewing_hours": 1.5,
    "reviewing_cost": float("nan"),
    "training_hours": 0.25,
    "training_cost": 2.5,
    "shown": 1200.0,
    "saved_hours": 10.0,
    "saved": float("nan"),
}


@pytest.mark.parametrize(("remote", "hinted"), [("", True), ("store", False)])
def test_a_round_without_a_remote_says_so_and_how_to_add_one(remote, hinted, capsys):
    tables.summary(TOLD | {"remote": remote})
    assert ("dvc remote add --default NAME ADDRESS" in capsys.readouterr().out) == hinted


@pytest.mark.parametrize(
    ("gate", "hinted", "unsaid"),
    [
        ({"verdict": "pass", "champion": False}, "wallaby release ", "wallaby gate"),
        ({"verdict": "fail", "champion": False}, "wallaby gate", "wallaby release  "),
        ({"verdict": "investigate", "champion": False}, "wallaby release --force", "wallaby release  "),
        ({"verdict": "pass", "champion": True}, "wallaby promote", "wallaby release"),
    ],
)
def test_a_release_is_advised_only_where_the_gate_lets_it_through(gate, hinted, unsaid, capsys):
    tables.summary(TOLD | {"gate": gate | {"reason": "so it is"}})
    text = capsys.readouterr().out
    assert hinted in text
    assert unsaid not in text


@pytest.mark.parametrize(("excluded", "said"), [({"unknown": 0}, "2 classes\n"), ({"unknown": 1}, "(1 unknown)")])
def test_what_was_left_out_stands_behind_the_classes_if_anything_was(excluded, said, capsys):
    tables.summary(TOLD | {"curated": TOLD["curated"] | {"excluded": excluded}})
    text = capsys.readouterr().out
    assert said in text
    assert "()" not in text


def test_hours_stand_below_the_ledger_and_what_nobody_knows_is_left_out(capsys):
    tables.ledger({"ledger": [], "costs": [HOURS], "hints": []}, minutes_by_hand=0.5)
    text = capsys.readouterr().out
    for words in ("reviewing", "1.50", "training cost", "2.50", "1,200", "10.00", "takes 0.5 minutes"):
        assert words in text
    assert "reviewing cost" not in text
    assert "worth" not in text


def test_without_a_round_there_are_no_hours(capsys):
    tables.ledger({"ledger": [], "costs": [], "hints": []})
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("flag", "name"), [("--record", "record"), ("--rebuild", "rebuild")])
def test_the_flags_of_runs_are_known(flag, name):
    assert getattr(cli.program().parse(["runs", flag]), name)
