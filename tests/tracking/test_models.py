"""A round's model as a version of MLflow's registry: it predicts as the bundle does, wherever it is loaded."""

import subprocess
import sys
from pathlib import Path
from unittest import mock

import mlflow
import numpy as np
import pytest

from pipeline import bundle
from pipeline.inference.runtimes.keras import KerasRuntime
from pipeline.library import lineage
from pipeline.models.hub import hub
from pipeline.tracking import CANDIDATE, CHAMPION, REGISTERED, Tracking
from pipeline.tracking.models import WEIGHTS
from pipeline.tracking.writer import Writer
from tests.hub_modules import save_module
from tests.networks import SIDE, coloured, tiny

CLASSES = ["cat", "dog", "owl"]
PIXELS, _ = coloured(6)


@pytest.fixture(autouse=True)
def no_other_store(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("repository")


def logged(home: Path, model, *, temperature: float, round_: int = 1) -> tuple[Tracking, bundle.Bundle, str]:
    """A store with the model of a round, its bundle as it is read again, and the number of its version."""
    card = bundle.Card("tiny", SIDE, round=round_, temperature=temperature, data_digest="d" * 64)
    folder = home / f"round-{round_}"
    bundle.save(bundle.Bundle(model, CLASSES, card, lineage.empty()), folder)
    tracking, made = Tracking(home), bundle.load(folder)
    run_id = tracking.start(f"round-{round_}", params={}, tags={"model_digest": made.card.model_digest})
    return tracking, made, tracking.log_model(run_id, made, folder)


def test_the_candidate_of_a_registry_predicts_as_the_bundle_does(home, monkeypatch):
    tracking, made, number = logged(home, tiny(), temperature=1.7)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking.uri)
    expected = KerasRuntime(made, 6).predict(PIXELS)
    for load in (mlflow.keras.load_model, mlflow.pyfunc.load_model):
        loaded = load(f"models:/{REGISTERED}@{CANDIDATE}")
        np.testing.assert_allclose(loaded.predict(PIXELS.astype(np.float32)), expected, atol=1e-6)
    version = mlflow.MlflowClient(tracking.uri).get_model_version(REGISTERED, number)
    assert version.tags["model_digest"] == made.card.model_digest
    assert (version.tags["round"], version.tags["data_digest"], version.tags["classes"]) == ("1", "d" * 64, "3")


def test_a_champion_is_the_version_that_was_the_candidate(home):
    tracking, made, number = logged(home, tiny(seed=5), temperature=1.0, round_=5)
    tags = {"model_digest": made.card.model_digest}
    assert tracking.has_version(made.card.model_digest)
    assert tracking.set_champion("", "round-5", tags) == number
    client = mlflow.MlflowClient(tracking.uri)
    assert str(client.get_model_version_by_alias(REGISTERED, CHAMPION).version) == number


def test_a_gate_s_verdict_stands_at_the_model_s_version(home):
    tracking, made, number = logged(home, tiny(seed=6), temperature=1.0, round_=6)
    run_id = tracking.runs().query(f"`tags.model_digest` == '{made.card.model_digest}'")["run_id"].iloc[0]
    assert tracking.tag(run_id, {"gate": "pass", "gate_reason": "so it is"})
    assert mlflow.MlflowClient(tracking.uri).get_model_version(REGISTERED, number).tags["gate"] == "pass"


def test_a_network_without_a_temperature_is_the_bundle_s_own_file(home):
    _, made, _ = logged(home, tiny(seed=2), temperature=1.0, round_=2)
    [file] = [path for path in (home / "mlruns").rglob(WEIGHTS.name) if path.samefile(home / "round-2" / bundle.MODEL)]
    assert file.parent.parent.joinpath(bundle.CLASSES).read_text().split() == made.classes


def test_a_model_that_is_logged_again_keeps_its_version(home):
    tracking, made, number = logged(home, tiny(seed=3), temperature=1.0, round_=3)
    assert tracking.log_model("", made, home / "round-3") == number
    assert len(list((home / ".wallaby").rglob("MLmodel"))) == 0


def test_a_network_on_a_hub_module_needs_nothing_of_this_program(home, tmp_path):
    module = save_module(tmp_path / "vector")
    model = hub(image_size=SIDE, num_classes=3, handle=str(module))
    tracking, made, number = logged(home, model, temperature=0.6, round_=4)
    np.save(tmp_path / "pixels.npy", PIXELS.astype(np.float32))
    program = (
        "import sys; import mlflow, numpy as np; pixels = np.load(sys.argv[1]);"
        "model = mlflow.pyfunc.load_model(sys.argv[2]); exported = mlflow.keras.load_model(sys.argv[2]);"
        "same = np.array_equal(model.predict(pixels), exported.serve(pixels).numpy());"
        "assert 'pipeline' not in sys.modules and same; np.save(sys.argv[3], model.predict(pixels))"
    )
    arguments = [tmp_path / "pixels.npy", f"models:/{REGISTERED}/{number}", tmp_path / "probs.npy"]
    result = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=tmp_path,
        env={"PATH": "", "MLFLOW_TRACKING_URI": tracking.uri, "MLFLOW_DISABLE_TELEMETRY": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    np.testing.assert_allclose(np.load(tmp_path / "probs.npy"), KerasRuntime(made, 6).predict(PIXELS), atol=1e-6)


def test_a_model_waits_for_a_store_that_does_not_answer(home, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Writer, "model", mock.Mock(side_effect=OSError("no space left")))
        tracking, made, number = logged(home, tiny(seed=7), temperature=1.2, round_=7)
        assert (number, tracking.has_version(made.card.model_digest)) == ("", False)
    assert Tracking(home).has_version(made.card.model_digest)  # the next command
