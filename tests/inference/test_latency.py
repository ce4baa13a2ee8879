from pipeline import bundle
from pipeline.inference import latency
from pipeline.inference.runtimes.keras import KerasRuntime
from pipeline.library import lineage
from tests.networks import SIDE, tiny


def test_the_latency_is_that_of_one_picture_at_a_time_once_the_network_is_warm(monkeypatch):
    clock = iter(range(10_000))
    shapes = []
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(clock) / 1000)
    monkeypatch.setattr(KerasRuntime, "predict", lambda self, pixels: shapes.append(pixels.shape))
    model = bundle.Bundle(tiny(), ["cat", "dog", "owl"], bundle.Card("tiny", SIDE), lineage.empty())
    found = latency.measure(model)
    assert shapes == [(1, SIDE, SIDE, 3)] * (latency.WARM_UP + latency.RUNS)
    assert (found["ms"], found["ms_p95"], found["runs"]) == (1.0, 1.0, latency.RUNS)


def test_a_real_network_takes_some_time():
    model = bundle.Bundle(tiny(), ["cat", "dog", "owl"], bundle.Card("tiny", SIDE), lineage.empty())
    found = latency.measure(model)
    assert 0 < found["ms"] <= found["ms_p95"]


def test_a_model_is_measured_once(tmp_path, monkeypatch):
    path = tmp_path / "latency.json"
    first, other = (
        bundle.Bundle(tiny(), ["cat", "dog", "owl"], bundle.Card("tiny", SIDE, model_digest=digest), lineage.empty())
        for digest in "ab"
    )
    latency.keep(first, path)
    stored = path.read_bytes()
    monkeypatch.setattr(latency, "measure", lambda model: {"ms": 1.0})
    latency.keep(first, path)
    assert path.read_bytes() == stored
    latency.keep(other, path)
    assert path.read_bytes() != stored
