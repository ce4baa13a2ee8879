"""One runtime answers at once, the others are tried meanwhile, and the fastest that agrees takes over."""

import threading
from dataclasses import replace

import pytest

from pipeline.errors import DataError
from pipeline.serving.served import Chosen, Served
from tests.serving.made_up_records import soon, stored
from tests.serving.made_up_service import Shade, model, picture, release, running

OLD, NEW = "a" * 64, "b" * 64


class Trial:
    """Of other runtimes: it ends when the test says so."""

    def __init__(self, found: Chosen | Exception | None):
        self.found, self.begun, self.may_end = found, threading.Event(), threading.Event()

    def __call__(self) -> Chosen | None:
        self.begun.set()
        self.may_end.wait(10)
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


def tried(trial: Trial, digest: str = OLD) -> Served:
    made = model(digest)
    return replace(made, chosen=replace(made.chosen, try_others=trial))


def runtime(own) -> str:
    return own.client.get("/version").json()["runtime"]


def test_requests_are_answered_while_runtimes_are_tried_and_the_log_names_the_one_that_answered(tmp_path):
    trial = Trial(Chosen("faster", {4: Shade()}))
    with running(tmp_path, models={OLD: tried(trial)}) as own:
        own.service.releases.watch(0.02)
        assert trial.begun.wait(10)
        before = own.predict(picture(255)).json()["pictures"][0]
        assert runtime(own) == "shade"
        trial.may_end.set()
        assert soon(lambda: runtime(own) == "faster")
        after = own.predict(picture(255)).json()["pictures"][0]
        assert own.client.get("/health").json()["status"] == "ok"
        assert b'runtime="faster"' in own.client.get("/metrics").content
    assert before["answer"] == after["answer"] == "light"
    assert [row["runtime"] for row in stored(own.url)] == ["shade", "faster"]


@pytest.mark.parametrize("found", [None, DataError("it cannot be loaded"), ValueError("nor this")])
def test_where_no_other_runtime_is_faster_or_can_be_loaded_the_first_goes_on_and_nothing_is_tried_again(
    tmp_path, found
):
    trial = Trial(found)
    trial.may_end.set()
    with running(tmp_path, models={OLD: tried(trial)}) as own:
        own.service.releases.watch(0.02)
        assert soon(lambda: own.service.releases.served.chosen.try_others is None)
        assert runtime(own) == "shade"
        assert own.predict(picture(255)).status_code == 200
        assert own.client.get("/health").json()["status"] == "ok"


def test_a_release_that_comes_while_runtimes_are_tried_is_not_replaced_by_the_model_before(tmp_path):
    first, second = Trial(Chosen("faster", {4: Shade()})), Trial(Chosen("fastest", {4: Shade(swapped=True)}))
    with running(tmp_path, models={OLD: tried(first), NEW: tried(second, NEW)}) as own:
        own.service.releases.watch(0.02)
        assert first.begun.wait(10)
        release(tmp_path / "released", NEW)
        assert soon(lambda: own.client.get("/version").json()["model"] == NEW)
        first.may_end.set()
        assert second.begun.wait(10)
        assert (own.client.get("/version").json()["model"], runtime(own)) == (NEW, "shade")
        second.may_end.set()
        assert soon(lambda: runtime(own) == "fastest")
        assert own.predict(picture(255)).json()["pictures"][0]["model"] == NEW


def test_a_candidate_changes_over_as_well(tmp_path):
    trial = Trial(Chosen("faster", {4: Shade()}))
    trial.may_end.set()
    release(tmp_path / "shadow", NEW)
    with running(tmp_path, models={OLD: model(OLD), NEW: tried(trial, NEW)}, shadow=True) as own:
        own.service.releases.watch(0.02)
        assert soon(lambda: own.service.releases.candidate.runtime == "faster")
        assert runtime(own) == "shade"
