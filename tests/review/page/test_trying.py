"""The page 'Try a picture' says what an answer waits for."""

import threading
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from pipeline.review.page.trying import Places, Trial

HERE = Path("nowhere")


def trial(monkeypatch, loaded: threading.Event) -> Trial:
    """A trial whose model takes until the event to be loaded."""
    made = Trial(Places(HERE, HERE, HERE, HERE), None, max_megapixels=100)  # type: ignore[arg-type]
    answers = (np.zeros((1, 2)), np.zeros((1, 3)))
    runtime = SimpleNamespace(image_sizes=[8], predict_with_features=lambda *pixels: answers)

    def load(folder: Path) -> SimpleNamespace:
        assert loaded.wait(10)
        return runtime

    monkeypatch.setattr(made, "_runtime", load)
    monkeypatch.setattr(made, "which", lambda: {"folder": "nowhere"})
    return made


def test_the_model_is_loaded_when_the_page_opens_and_the_page_is_told_for_how_long(monkeypatch):
    loaded = threading.Event()
    made = trial(monkeypatch, loaded)
    assert made.waited() is None
    made.prepare()
    made.prepare()  # two tabs
    waited = made.waited()
    assert waited is not None
    assert waited >= 0
    assert sum(thread.name.endswith("(_prepare)") for thread in threading.enumerate()) == 1
    loaded.set()
    with made._lock:
        pass
    for thread in threading.enumerate():
        if thread.name.endswith("(_prepare)"):
            thread.join(10)
    assert made.waited() is None


def test_a_model_that_cannot_be_loaded_is_waited_for_by_nobody(monkeypatch, capsys):
    made = trial(monkeypatch, threading.Event())

    def broken(folder: Path) -> None:
        raise OSError("cut short")

    monkeypatch.setattr(made, "_runtime", broken)
    made._prepare()
    assert made.waited() is None
    assert "the model cannot be prepared: cut short" in capsys.readouterr().err
