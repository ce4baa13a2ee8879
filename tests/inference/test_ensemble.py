"""Several bundles that speak with one voice, and those that may not."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipeline import bundle, files
from pipeline.errors import DataError, LeakageError, UsageError
from pipeline.evaluation import calibration, thresholds
from pipeline.files import read_json, write_table
from pipeline.inference import ensemble
from pipeline.inference.reading import predict_all
from pipeline.inference.runtimes.keras import KerasRuntime
from pipeline.library import lineage, pictures
from pipeline.stages import identify
from pipeline.workspace import Workspace
from tests.inference.shade import read
from tests.library.builders import noise, phash, put, sha
from tests.networks import SIDE, tiny

CLASSES = ["cat", "dog", "owl"]
PARAMS = Path(__file__).parents[2] / "configs" / "params.yaml"


def made(folder, *, classes=CLASSES, side=SIDE, seed=0, seen=None, **card) -> bundle.Bundle:
    network = bundle.Bundle(
        tiny(len(classes), side=side, seed=seed),
        classes,
        bundle.Card("tiny", side, **card),
        lineage.empty() if seen is None else seen,
    )
    bundle.save(network, folder)
    return bundle.load(folder)


def named(folder) -> dict[str, str]:
    return {str(folder): bundle.check(folder).model_digest[:12]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("bundles")


@pytest.fixture(scope="module")
def model(folder) -> bundle.Bundle:
    return made(folder / "model", temperature=2.0)


@pytest.fixture(scope="module")
def older(folder) -> bundle.Bundle:
    """Of another image size, temperature and order of classes, and it does not know the dog."""
    return made(folder / "older", classes=["owl", "emu", "cat"], side=24, seed=5, temperature=0.5)


def test_an_ensemble_is_the_mean_of_calibrated_probabilities_each_at_its_own_image_size(model, tmp_path):
    larger = made(tmp_path / "larger", side=24, seed=5, temperature=0.5)
    paths = [put(tmp_path / f"{n}.png", noise(n)) for n in range(5)]
    runtime = ensemble.load(
        model, ensemble.load_further(named(tmp_path / "larger"), model, home=tmp_path, where="x"), batch_size=2
    )
    found = np.concatenate([probs for probs, _ in predict_all(runtime, paths, batch_size=2)])
    alone = []
    for member in (model, larger):
        pixels = np.stack([pictures.read(path, member.card.image_size) for path in paths]).astype(np.float32)
        alone.append(calibration.scale(member.model.predict(pixels, verbose=0), member.card.temperature))
    np.testing.assert_allclose(found, np.mean(alone, axis=0), atol=1e-6)
    assert np.abs(alone[0] - alone[1]).max() > 0.01
    assert runtime.image_sizes == (SIDE, 24)
    assert runtime.model == f"{model.card.model_digest}+{larger.card.model_digest}"


def test_the_classes_are_those_of_the_model(model, older):
    runtime = ensemble.load(model, [older], batch_size=2)
    pixels = [np.full((2, size, size, 3), 90, np.uint8) for size in runtime.image_sizes]
    probs = runtime.predict(*pixels)
    alone = KerasRuntime(model, 2).predict(pixels[0])
    assert runtime.classes == CLASSES
    np.testing.assert_allclose(probs.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(probs[:, 1], alone[:, 1], atol=1e-6)  # the older one does not know the dog


def test_what_an_ensemble_says_is_calibrated_as_one_and_another_temperature_is_another_model(model, older):
    pixels = [np.full((2, size, size, 3), 90, np.uint8) for size in sorted({SIDE, 24})]
    members = [KerasRuntime(model, 2), KerasRuntime(older, 2)]
    plain, sharp = ensemble.Ensemble(members), ensemble.Ensemble(members, 0.5)
    np.testing.assert_allclose(sharp.predict(*pixels), calibration.scale(plain.predict(*pixels), 0.5), atol=1e-6)
    assert (sharp.model, sharp.key) == (plain.model, f"{plain.key} together at 0.5")


def test_without_further_bundles_the_model_speaks_for_itself(model):
    assert isinstance(ensemble.load(model, [], batch_size=2), KerasRuntime)


def test_predictions_of_a_model_and_of_an_ensemble_with_it_are_never_mixed(model, older):
    keys = {
        ensemble.load(model, [], 1).key,
        ensemble.load(model, [older], 1).key,
        ensemble.load(older, [], 1).key,
        ensemble.load(model, [bundle.replace(older, card=bundle.replace(older.card, temperature=3.0))], 1).key,
    }
    assert len(keys) == 4


def test_a_bundle_is_named_with_its_digest_which_dvc_can_see(model, older, folder):
    for given, says in (("", "digest of the bundle's model is missing"), ("0" * 12, "holds another model than 0000")):
        with pytest.raises(UsageError, match=says) as refused:
            ensemble.load_further({str(folder / "older"): given}, model, home=folder, where="evaluate.ensemble")
        assert f'evaluate.ensemble: {{{folder / "older"}: "{older.card.model_digest[:12]}"}}' in refused.value.mend


def test_the_model_itself_is_not_averaged_in_twice(model, folder):
    with pytest.raises(UsageError, match="in the ensemble already"):
        ensemble.load_further(named(folder / "model"), model, home=folder, where="evaluate.ensemble")


def test_a_throw_away_model_is_in_no_ensemble(model, tmp_path):
    made(tmp_path / "trial", seed=7, throwaway=True)
    with pytest.raises(LeakageError, match="throw-away model is in no ensemble"):
        ensemble.load_further(named(tmp_path / "trial"), model, home=tmp_path, where="evaluate.ensemble")


@pytest.mark.parametrize("classes", [["cat", "emu"], ["bee", "emu"]])
def test_a_bundle_that_shares_no_choice_with_the_model_is_refused(model, tmp_path, classes):
    made(tmp_path / "other", seed=7, classes=classes)
    with pytest.raises(DataError, match="of its 2 classes with the model: it has no say"):
        ensemble.load_further(named(tmp_path / "other"), model, home=tmp_path, where="evaluate.ensemble")


def test_a_folder_that_holds_no_bundle_is_named(model, tmp_path):
    with pytest.raises(DataError, match="there is no bundle"):
        ensemble.load_further({str(tmp_path / "none"): "0" * 12}, model, home=tmp_path, where="evaluate.ensemble")


def test_a_bundle_that_learnt_from_a_test_image_is_not_measured_on_it(model, tmp_path):
    images = ["library/a.png", "library/b.png"]
    rows = pd.DataFrame({"image": images, "sha256": [sha(i) for i in images], "phash": [phash(i) for i in images]})
    rows = rows.assign(group=rows["sha256"], together="", set=["train", "test"])
    seen = lineage.extend(lineage.empty(), rows, round_=1)
    fair, lying = (made(tmp_path / "a", seen=seen), made(tmp_path / "b", seen=seen.assign(role="train")))
    ensemble.refuse_leakage(rows, [fair], near_duplicate_distance=4, where="evaluate.ensemble")
    with pytest.raises(LeakageError, match="1 images changed sides") as refused:
        ensemble.refuse_leakage(rows, [fair, lying], near_duplicate_distance=4, where="evaluate.ensemble")
    assert "library/b.png (train -> test)" in refused.value.where


def test_the_stage_identify_asks_the_ensemble_and_starts_anew_when_it_changes(tmp_path):
    names = [f"pool/{n}.png" for n in range(3)]
    contents = [files.digest(put(tmp_path / name, noise(number))) for number, name in enumerate(names)]
    write_table(pd.DataFrame({"image": names, "sha256": contents, "failure": ""}), tmp_path / "data/index/pool.parquet")
    write_table(
        pd.DataFrame({"image": [], "sha256": [], "reason": []}, dtype="str"), tmp_path / "data/curated/excluded.parquet"
    )
    write_table(
        pd.DataFrame({"image": [], "sha256": [], "label": [], "set": []}, dtype="str"),
        tmp_path / "data/splits/splits.parquet",
    )
    one, two = made(tmp_path / "data/model"), made(tmp_path / "two", side=24, seed=5)
    thresholds.write(
        thresholds.Thresholds("", 1.0, 0.95, [], 0, 0.5, "assured", {}, []),
        tmp_path / "data/evaluation/thresholds.json",
    )
    params = PARAMS.read_text(encoding="utf-8").replace("    pool: data/demo/pool", "    pool: pool")

    def identified(ensemble: str) -> pd.DataFrame:
        text = params.replace("ensemble: {}  # as in", f"ensemble: {ensemble}  # as in")
        put(tmp_path / "configs" / "params.yaml", text.encode())
        identify.main(Workspace(tmp_path))
        return read(tmp_path / "data/predictions")

    alone = identified("{}")
    together = identified(f'{{two: "{two.card.model_digest[:12]}"}}')
    assert set(alone["model"]) == {one.card.model_digest}
    assert set(together["model"]) == {f"{one.card.model_digest}+{two.card.model_digest}"}
    assert read_json(tmp_path / "data/predictions" / "summary.json")["model"] == together["model"][0]
    assert read_json(tmp_path / "data/predictions" / "summary.json")["identified_before"] == 0
    assert not np.allclose(alone["score"], together["score"], atol=1e-3)
    pd.testing.assert_frame_equal(identified("{}"), alone)
