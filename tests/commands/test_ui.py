"""`wallaby ui`: MLflow's page on the rounds; the server itself is MLflow's."""

import socket

import pytest

from pipeline.commands import ui
from pipeline.errors import DataError, ResumableError
from pipeline.tracking import EXPERIMENT, THROWAWAYS, Tracking
from pipeline.workspace import Workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory) -> Workspace:
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        made = Workspace(tmp_path_factory.mktemp("repository"))
        Tracking(made.home).start("round-1", params={}, tags={})
        yield made


def test_a_repository_without_a_round_has_nothing_to_show_and_gets_no_store(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(DataError, match="no round yet"):
        ui.ui(Workspace(tmp_path), port=0, browser=False)
    assert list(tmp_path.iterdir()) == []


def test_a_port_that_another_program_has_is_named(workspace):
    with socket.socket() as taken:
        taken.bind((ui.HOST, 0))
        taken.listen()
        with pytest.raises(ResumableError, match="another program has port"):
            ui.ui(workspace, port=taken.getsockname()[1], browser=False)


def test_of_a_server_that_the_user_has_the_page_is_named(workspace, monkeypatch):
    monkeypatch.setattr(Tracking, "experiments", lambda _: {EXPERIMENT: "7", THROWAWAYS: "9"})
    monkeypatch.setattr(Tracking, "save_view", lambda _: None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.example.org/")
    pages = ui.ui(workspace, port=0, browser=False).data
    assert pages["table"] == (
        "https://mlflow.example.org/#/experiments/7/runs?workflowType=machine_learning&viewStateShareKey=rounds"
    )
    assert pages["charts"].endswith("&compareRunsMode=CHART")
    assert "/experiments/9/" in pages[THROWAWAYS]
