"""A kill at a random moment, once inside each stage and command; `scripts/bench_faults.py` does it many times."""

import sys
from argparse import Namespace
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[2] / "scripts"))
import bench_faults

ARGUMENTS = Namespace(times=1, uploads=150)


@pytest.fixture(scope="module")
def decided(finished, tmp_path_factory) -> bench_faults.Workspace:
    """A finished round whose queue has been decided, but not applied."""
    workspace = bench_faults.Workspace(finished.path).copy(tmp_path_factory.mktemp("decided") / "clone")
    params = workspace.path / "configs/params.yaml"
    params.write_text(params.read_text().replace("  runtime: auto", "  runtime: keras"))
    workspace.run("wallaby", "demo", "--review")
    workspace.run("git", "add", "-A")
    workspace.run("git", "commit", "--quiet", "-m", "Round 1")
    return workspace


def holds(faults) -> None:
    broken = [fault for fault in faults if not fault.holds]
    assert not broken


@pytest.mark.parametrize("stage", ["index", "curate", "split", "dataset", "evaluate", "gate", "queue"])
def test_a_stage_that_was_killed_ends_as_if_nothing_had_happened(decided, tmp_path, stage):
    holds([bench_faults.kills(stage, decided, decided.stage(stage), ARGUMENTS.times, tmp_path)])


def test_a_command_that_was_killed_ends_as_if_nothing_had_happened(decided, tmp_path):
    holds(bench_faults.commands(decided, tmp_path, ARGUMENTS))


def test_no_decision_lands_on_another_content_than_the_person_saw(decided, tmp_path):
    holds(bench_faults.contents(decided, tmp_path, ARGUMENTS))


def test_no_upload_however_spoilt_ends_in_an_error_of_the_service(decided, tmp_path):
    holds(bench_faults.uploads(decided, tmp_path, ARGUMENTS))
