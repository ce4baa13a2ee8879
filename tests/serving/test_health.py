"""No part of the service fails in silence: its problem is named until it is over, and its thread goes on."""

import sys
import threading

import pytest

from pipeline.serving.health import Health, Worker
from tests.serving.made_up_records import soon


def test_each_part_names_its_problem_until_it_is_over():
    health = Health()
    health.report("store", "the store is down")
    health.report("release", "the release is broken")
    health.report("store", "the store is damaged")
    assert health.problems == ["the store is damaged", "the release is broken"]
    health.withdraw("store")
    health.withdraw("nothing")
    assert health.problems == ["the release is broken"]


def test_the_operator_is_told_once_and_not_whenever_it_is_tried_again(capfd):
    health = Health()
    for _ in range(3):
        health.report("store", "the store is down", details="sqlite:///here")
    health.withdraw("store")
    health.withdraw("store")
    assert capfd.readouterr().err.splitlines() == [
        "serve: the store is down", "sqlite:///here", "serve: no longer: the store is down",
    ]  # fmt: skip


def test_a_step_that_fails_is_named_and_tried_again_until_it_succeeds():
    health, tries, seen = Health(), [], []

    def step() -> float:
        tries.append(threading.current_thread().name)
        seen.append(health.problems)
        if len(tries) < 3:
            raise (KeyError("score"), SystemExit())[len(tries) - 1]
        return 3600.0

    worker = Worker("mover", step, problem="nothing is moved", health=health)
    worker.start()
    assert soon(lambda: len(tries) == 3 and not health.problems)
    assert seen == [[], ["nothing is moved: KeyError"], ["nothing is moved: SystemExit"]]
    worker.stop()
    worker.join()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_ends_is_replaced(monkeypatch):
    threads, health = [], Health()

    def step() -> float:
        threads.append(threading.current_thread())
        if len(threads) == 1:
            raise KeyError("score")
        return 0.01

    def end(*_, **__) -> None:
        raise SystemExit

    monkeypatch.setattr(health, "report", end)  # where a step's error is handled, nothing catches another one
    worker = Worker("mover", step, problem="nothing is moved", health=health)
    worker.start()
    assert soon(lambda: len(threads) > 3)
    assert not threads[0].is_alive()
    assert threads[1].name == threads[0].name
    worker.stop()
    worker.join()
    assert not threads[-1].is_alive()


def test_a_log_that_takes_nothing_ends_no_thread(monkeypatch):
    class Full:
        def write(self, text: str) -> None:
            raise OSError("no space left on device")

        flush = write

    monkeypatch.setattr(sys, "stderr", Full())
    health = Health()
    health.report("store", "the store is down")
    assert health.problems == ["the store is down"]
