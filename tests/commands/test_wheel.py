"""`wallaby` alone says where the round stands, what would re-run, and the three best next steps."""

from dataclasses import replace

from pipeline.commands import wheel
from pipeline.commands.wheel import Facts

DONE = Facts(model="m", base_model="b", champion="m", round=3, verdict="pass")
PEACH = {"label": "peach", "short_by": 1, "candidates": 6, "queued": 6}
TRAIN = {"stage": "train", "why": "changed: data/base", "minutes": 41.0, "gigabytes": 3.1}
EVALUATE = {"stage": "evaluate", "why": "", "minutes": 5.0, "gigabytes": 2.0}


def commands(facts: Facts) -> list[str]:
    return [step["command"] for step in wheel.next_steps(facts)]


def test_a_new_repository_needs_images_and_a_base():
    assert commands(Facts(labelled=False, base=False)) == [
        "wallaby import library DIR",
        "wallaby demo",
        "wallaby init-base --model inception_v4_small",
    ]
    assert commands(Facts(base=False)) == ["wallaby init-base --model inception_v4_small"]


def test_decisions_are_applied_before_anything_else_is_done():
    assert commands(replace(DONE, unapplied=4, reruns=[TRAIN]))[0] == "wallaby apply"


def test_a_class_that_the_queue_can_complete_is_named_with_its_cost():
    step = wheel.next_steps(replace(DONE, short=[PEACH], undecided=90))[0]
    assert step["command"] == "wallaby review"
    assert step["why"] == "peach needs 1 image: 6 candidates in the queue, about 1 minute, then the class joins"


def test_a_class_that_the_queue_cannot_complete_is_not_promised():
    step = wheel.next_steps(replace(DONE, short=[PEACH | {"short_by": 9}], undecided=90))[0]
    assert step["why"] == "90 decisions wait in the queue, about 15 minutes"


def test_a_model_that_passed_is_released_and_a_finished_round_opens_the_next():
    assert commands(replace(DONE, champion="older")) == ["wallaby release", "wallaby promote"]
    assert commands(replace(DONE, champion="older", verdict="fail")) == ["wallaby promote"]
    assert commands(replace(DONE, base_model="m")) == []


def test_what_would_run_again_is_told_with_its_minutes():
    assert wheel.next_steps(replace(DONE, base_model="m", reruns=[TRAIN, EVALUATE])) == [
        {"command": "dvc repro", "why": "re-runs train, and what follows, about 46 minutes in all"}
    ]


def test_once_the_labels_have_moved_on_the_model_is_promoted_before_the_next_round():
    assert commands(replace(DONE, undecided=9, reruns=[TRAIN])) == ["wallaby promote", "wallaby review", "dvc repro"]


def test_there_are_never_more_than_three_steps():
    everything = replace(DONE, unapplied=1, champion="x", short=[PEACH], undecided=9, reruns=[TRAIN])
    assert commands(everything) == ["wallaby apply", "wallaby release", "wallaby review"]


def test_what_dvc_says_of_a_stage_is_told_in_words():
    changes = [
        {"changed deps": {"data/labels.csv": "modified"}},
        {"changed outs": {"data/model": "deleted"}},
        {"changed deps": {"configs/params.yaml": {"train": "modified"}}},
    ]
    assert wheel._why(changes) == (
        "changed: data/labels.csv; product changed or missing: data/model; changed: configs/params.yaml: train"
    )
    assert wheel._why(["always changed"]) == ""
