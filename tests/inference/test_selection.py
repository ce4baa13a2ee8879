"""`auto`: which runtime identifies the pool, what it is tried on, and when nothing is measured again."""

import numpy as np
import pandas as pd
import pytest

from pipeline.bundle import Stored
from pipeline.errors import UsageError
from pipeline.evaluation.thresholds import Thresholds
from pipeline.files import read_json, write_table
from pipeline.inference import machine, selection, trials
from pipeline.inference.runtimes import kinds
from pipeline.inference.runtimes.converted import Calibration
from pipeline.inference.trials import Limits
from tests.library.builders import noise, put, sha
from tests.networks import SIDE, save_bundle

LIMITS = Limits(min_agreement=0.99, confidence=0.95, images=100)
MANY = 1_000_000


class Made:
    """A runtime that says the same of every picture."""

    classes, image_sizes = ["cat", "dog", "owl"], (SIDE,)

    def __init__(self, name: str):
        self.name = name

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        return np.tile([0.8, 0.1, 0.1], (len(pixels), 1))


class Machine:
    """Runtimes at hand, by name: images a second and share of answers unlike those of Keras; counts trials."""

    def __init__(self, monkeypatch, **rates: tuple[float, float]):
        self.rates, self.tried, self.loaded = {name.replace("_", "-"): rate for name, rate in rates.items()}, [], []
        monkeypatch.setattr(kinds, "missing", lambda name: "" if name in self.rates else "not installed")
        monkeypatch.setattr(kinds, "load", self.load)
        monkeypatch.setattr(trials, "measure", self.measure)
        monkeypatch.setattr(machine, "has_gpu", lambda: False)

    def load(self, name, members, calibration, *, batch_size, cache, temperature=1.0):
        self.loaded.append(name)
        return Made(name)

    def measure(self, runtime, pixels, comparison):
        probs = np.concatenate([runtime.predict(*batch) for batch in pixels])
        unlike = round(self.rates[runtime.name][1] * len(probs))
        probs[:unlike] = probs[:unlike, ::-1]
        self.tried.append(runtime.name)
        return probs, self.rates[runtime.name][0]


@pytest.fixture
def candidates(tmp_path) -> selection.Candidates:
    save_bundle(tmp_path / "model")
    return selection.Candidates(
        [Stored(tmp_path / "model")], Calibration(["a"], []), batch_size=64, cache=tmp_path / "runtimes"
    )


@pytest.fixture
def choose(candidates, tmp_path):
    paths = [put(tmp_path / "pictures" / f"{n}.png", noise(n, 20)) for n in range(100)]
    rows = pd.DataFrame({"sha256": [sha(n) for n in range(100)], "path": paths, "label": ""})

    def call(name="auto", *, among=candidates, limits=LIMITS, thresholds=None, total=MANY, begun=None, sample=rows):
        return selection.choose(
            name,
            among,
            sample=lambda: sample,
            comparison=selection.answers(among, thresholds, limits),
            total=total,
            begun=begun or {},
        )

    return call


def test_the_fastest_that_agrees_is_chosen_and_what_was_tried_is_told(choose, monkeypatch, tmp_path):
    Machine(monkeypatch, keras=(10, 0), openvino=(20, 0), openvino_int8=(50, 0.005), onnx=(18, 0))
    choice, runtime = choose()
    assert choice.runtime == runtime.name == "openvino-int8"
    assert choice.why == "the fastest that agrees, 5.0 times Keras"
    assert str(choice).splitlines()[3] == "  openvino-bf16: not installed"
    assert "openvino-int8: 50.0 images a second, 100.00% of 100 answers alike" in str(choice)
    (kept,) = (tmp_path / "runtimes").glob("choice-*.json")
    assert read_json(kept)["runtime"] == "openvino-int8"
    assert read_json(kept)["machine"] == machine.describe()


def test_int8_that_disagrees_is_not_chosen_however_fast_it_is(choose, monkeypatch):
    Machine(monkeypatch, keras=(10, 0), openvino=(20, 0), openvino_int8=(50, 0.02))
    choice, _ = choose()
    assert choice.runtime == "openvino"
    assert choice.tried["openvino-int8"].refused == "at least 99.00% shall be alike"
    assert choice.tried["openvino-int8"].agreement == 0.98


def test_keras_is_left_only_for_what_is_faster(choose, monkeypatch):
    Machine(monkeypatch, keras=(10, 0), openvino=(10.4, 0), onnx=(4, 0))
    choice, _ = choose()
    assert (choice.runtime, choice.why) == ("keras", "none that agrees with it is faster")


def test_a_second_run_measures_nothing(choose, monkeypatch):
    there = Machine(monkeypatch, keras=(10, 0), openvino=(20, 0))
    first, _ = choose()
    there.tried.clear(), there.loaded.clear()
    assert choose()[0] == first
    assert (there.tried, there.loaded) == ([], ["openvino"])


@pytest.mark.parametrize("change", ["model", "limits", "thresholds", "machine", "package", "pictures of int8"])
def test_what_a_choice_depends_on_is_measured_anew_when_it_changes(choose, candidates, monkeypatch, tmp_path, change):
    there = Machine(monkeypatch, keras=(10, 0), openvino=(20, 0))
    choose()
    there.tried.clear()
    changed = {}
    if change == "model":
        save_bundle(tmp_path / "next", seed=5)
        changed["among"] = selection.Candidates(
            [Stored(tmp_path / "next")], candidates.calibration, 64, candidates.cache
        )
    elif change == "limits":
        changed["limits"] = Limits(min_agreement=0.98, confidence=0.95, images=100)
    elif change == "thresholds":
        model = candidates.members[0].card.model_digest
        changed["thresholds"] = Thresholds(model, 1.0, 0.95, ["test"], 9, 0.5, "assured", {}, [])
    elif change == "machine":
        monkeypatch.setattr(machine, "describe", lambda: {"cpu": "another", "gpus": []})
    elif change == "package":
        monkeypatch.setattr(selection, "version", lambda package: "2")
    else:
        changed["among"] = selection.Candidates(candidates.members, Calibration(["b"], []), 64, candidates.cache)
    choose(**changed)
    assert "openvino" in there.tried


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"runtime": "openvino"}', '{"runtime": "x", "why": "", "tried": {}}']
)
def test_a_kept_choice_that_is_cut_short_is_measured_anew(choose, monkeypatch, tmp_path, content):
    there = Machine(monkeypatch, keras=(10, 0), openvino=(20, 0))
    first, _ = choose()
    (kept,) = (tmp_path / "runtimes").glob("choice-*.json")
    kept.write_text(content)
    there.tried.clear()
    assert choose()[0] == first
    assert "openvino" in there.tried


def test_a_kept_choice_whose_package_has_gone_is_made_anew(choose, monkeypatch):
    Machine(monkeypatch, keras=(10, 0), openvino=(20, 0), onnx=(15, 0))
    choose()
    Machine(monkeypatch, keras=(10, 0), onnx=(15, 0))
    assert choose()[0].runtime == "onnx"


def test_an_interrupted_identification_continues_with_its_runtime(choose, candidates, monkeypatch):
    """Even if the cache was deleted and another one is faster today: else all that is predicted would be lost."""
    there = Machine(monkeypatch, keras=(10, 0), openvino=(20, 0), onnx=(30, 0))
    choice, _ = choose(begun={candidates.key("openvino"): MANY // 2})
    assert (choice.runtime, there.tried) == ("openvino", [])
    assert choice.why == "500000 of 1000000 images are predicted by it"


def test_the_first_images_of_a_pool_bind_nobody(choose, candidates, monkeypatch):
    Machine(monkeypatch, keras=(10, 0), openvino=(20, 0))
    assert choose(begun={candidates.key("keras"): MANY // 20})[0].runtime == "openvino"


def test_an_identification_of_another_model_or_of_a_runtime_that_has_gone_is_not_continued(
    choose, candidates, monkeypatch
):
    Machine(monkeypatch, keras=(10, 0), openvino=(20, 0))
    begun = {"another at 1.0 by onnx": MANY, candidates.key("openvino-bf16"): MANY}
    assert choose(begun=begun)[0].runtime == "openvino"


def test_for_a_pool_that_is_smaller_than_a_trial_nothing_is_read(choose, monkeypatch):
    there = Machine(monkeypatch, keras=(10, 0), openvino=(20, 0))
    choice, _ = choose(total=199)
    assert (choice.runtime, there.tried) == ("keras", [])
    assert choice.why == "199 images are too few to try others on 100"


def test_where_keras_is_done_sooner_than_a_trial_the_others_are_not_tried(choose, monkeypatch, tmp_path):
    there = Machine(monkeypatch, keras=(500, 0), openvino=(2000, 0))
    choice, _ = choose(total=10_000)
    assert (choice.runtime, there.tried) == ("keras", ["keras"])
    assert choice.why == "it takes about 20 seconds for 10000 images, and trying others about 30"
    assert not list((tmp_path).rglob("choice-*"))
    assert choose(total=MANY)[0].runtime == "openvino"  # the pool has grown


def test_keras_takes_the_gpu_and_nothing_is_tried(choose, monkeypatch):
    there = Machine(monkeypatch, keras=(10, 0), openvino=(20, 0))
    monkeypatch.setattr(machine, "has_gpu", lambda: True)
    assert choose()[0].why == "it computes on the GPU"
    assert there.tried == []


def test_a_runtime_that_is_named_is_taken_without_a_trial(choose, monkeypatch):
    there = Machine(monkeypatch, keras=(10, 0), openvino_int8=(5, 1.0))
    choice, runtime = choose("openvino-int8")
    assert (choice.runtime, runtime.name, there.tried) == ("openvino-int8", "openvino-int8", [])


def test_a_runtime_that_is_named_and_cannot_run_is_refused(choose, monkeypatch):
    monkeypatch.setattr(kinds, "missing", lambda name: "this CPU has no bfloat16")
    with pytest.raises(UsageError, match="OpenVINO in bfloat16 cannot run here: this CPU has no bfloat16"):
        choose("openvino-bf16")


def test_thresholds_of_another_model_do_not_decide_what_is_compared(choose, monkeypatch):
    Machine(monkeypatch, keras=(10, 0), openvino=(20, 0))
    others = Thresholds("another", 1.0, 0.95, ["test"], 9, 0.99, "assured", {}, [])
    assert choose(thresholds=others)[0].tried["openvino"].compared == 100


def test_without_a_readable_picture_keras_stays(choose, monkeypatch, tmp_path):
    Machine(monkeypatch, keras=(10, 0), openvino=(20, 0))
    gone = pd.DataFrame({"sha256": ["a"], "path": [tmp_path / "gone.png"], "label": [""]})
    assert choose(sample=gone)[0].runtime == "keras"


def table(name: str, numbers: range, **columns) -> pd.DataFrame:
    names = [f"{name}/{n}.png" for n in numbers]
    return pd.DataFrame({"image": names, "sha256": [sha(f"{name}{n}") for n in numbers]}).assign(**columns)


def test_the_trial_s_pictures_are_drawn_by_their_hash_whatever_their_order_half_of_each_kind(tmp_path):
    folders = {"library": tmp_path / "l", "pool": tmp_path / "p"}
    val = table("library", range(40), label="cat")
    pool = table("pool", range(90), failure="")
    pool.loc[3, "failure"] = "damaged"
    rows = selection.sampled(val, [pool[:50], pool[50:]], folders, number=20)
    again = selection.sampled(val[::-1], [pool[::-1]], folders, number=20)
    pd.testing.assert_frame_equal(rows, again)
    assert rows["label"].tolist() == ["cat"] * 10 + [""] * 10
    assert set(rows["sha256"][:10]) == set(sorted(val["sha256"])[-10:])
    assert set(rows["sha256"][10:]) == set(sorted(pool.loc[pool["failure"] == "", "sha256"])[:10])
    assert not set(selection.calibration(val.head(40), folders).sha256[:20]) & set(rows["sha256"])


def test_on_a_cpu_whose_sums_of_products_could_overflow_int8_has_weights_of_7_bits(tmp_path, monkeypatch):
    val = table("library", range(3), label="cat")
    for adds_up, bits in ((True, 8), (False, 7)):
        monkeypatch.setattr(machine, "adds_up_int8", lambda adds_up=adds_up: adds_up)
        assert selection.calibration(val, {"library": tmp_path}).bits == bits


def test_what_a_store_has_begun_is_read_from_its_shards(tmp_path):
    rows = table("pool", range(3))
    for number, model in enumerate(["a", "a", "b", "b"]):
        write_table(rows, tmp_path / f"part-{number:05d}.parquet", model=model)
    cut = tmp_path / "part-00003.parquet"
    cut.write_bytes(cut.read_bytes()[:-9])
    assert selection.begun(tmp_path) == {"a": 6, "b": 3}
    assert selection.begun(tmp_path / "nowhere") == {}
