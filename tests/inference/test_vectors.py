import numpy as np
import pytest

from pipeline.evaluation import cosine
from pipeline.files import write_table
from pipeline.inference import pool_predictions, shards, vectors
from tests.review.made_up_pools import predictions, store


def some(number: int, features: int = 200, *, seed: int = 0) -> np.ndarray:
    """Features around a few centres, none negative, as a network gives them."""
    random = np.random.default_rng(seed)
    ways = random.gamma(1.0, 1.0, (20, features))  # in which pictures differ: far fewer than there are features
    return random.gamma(0.5, 1.0, (number, 20)) @ ways + random.normal(0, 0.05, (number, features))


@pytest.fixture
def of_files(tmp_path):
    def of_files(features: np.ndarray) -> vectors.Vectors:
        """Of features that lie in two files."""
        half = len(features) // 2
        files = [tmp_path / "part-00000.features.npy", tmp_path / "part-00001.features.npy"]
        shards.write_array(features[:half], files[0])
        shards.write_array(features[half:], files[1])
        searchable = vectors.of(shards.Stacked(files, np.array([0, half, len(features)])), tmp_path / "cache")
        assert searchable is not None
        return searchable

    return of_files


def test_the_nearest_are_those_of_an_exact_scan(of_files, monkeypatch):
    monkeypatch.setattr(vectors, "SHORTLIST", 100)
    monkeypatch.setattr(vectors, "BLOCK", 300)
    features = some(2000).astype(np.float16)
    found = of_files(features)
    rows, cosines = found.nearest(features[:20], number=6)
    exact, exact_cosines = cosine.nearest(features, np.arange(20), np.arange(2000), number=5)
    assert rows[:, 0].tolist() == list(range(20))  # itself, here
    assert np.mean([len(set(a) & set(b)) / 5 for a, b in zip(rows[:, 1:], exact, strict=True)]) > 0.97
    assert cosines[:, 1] == pytest.approx(exact_cosines[:, 0], abs=1e-3)


def test_only_rows_that_are_asked_for_are_found(of_files):
    features = some(50)
    assert set(of_files(features).nearest(features[:1], number=9, among=np.array([3, 7]))[0][0]) == {3, 7}


def test_codes_are_kept_and_made_again_when_the_features_or_their_order_are_others(of_files, tmp_path):
    features = of_files(some(50)).exact
    first = (tmp_path / "cache" / vectors.CODES).stat().st_mtime_ns
    vectors.of(features, tmp_path / "cache")
    assert (tmp_path / "cache" / vectors.CODES).stat().st_mtime_ns == first
    reverse = np.arange(50)[::-1]
    files = sorted(tmp_path.glob("*.npy"))
    backwards = vectors.of(shards.Stacked(files, np.array([0, 25, 50]), reverse), tmp_path / "cache")
    assert backwards is not None
    assert backwards.nearest(features[[3]], number=1)[0].tolist() == [[46]]
    assert len(of_files(some(60, seed=1)).codes) == 60


def test_features_are_not_copied_into_the_cache(of_files, tmp_path):
    of_files(some(50))
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"codes.npy", "projection.npz", "source.json"}


def test_places_are_those_of_the_store_though_an_image_failed(tmp_path):
    table = predictions(**dict.fromkeys("abcde", ("dog", 0.5)))
    features = np.eye(5)
    features[0] = 0
    store(table, tmp_path / "predictions", features, shard_rows=2)
    write_table(table.head(2).assign(failure=["cut short", ""]), tmp_path / "predictions/part-00000.parquet")
    searchable = vectors.of(pool_predictions.read(tmp_path / "predictions").features, tmp_path / "cache")
    assert searchable is not None
    assert searchable.nearest(features[[1, 4]], number=1)[0].ravel().tolist() == [1, 4]


def test_predictions_without_features_have_no_nearest(tmp_path):
    store(predictions(a=("dog", 0.5), b=("dog", 0.5), c=("dog", 0.5)), tmp_path / "predictions")
    assert vectors.of(pool_predictions.read(tmp_path / "predictions").features, tmp_path / "cache") is None


def test_the_features_of_one_image_are_found_in_its_shard(tmp_path):
    table = predictions(**dict.fromkeys("abc", ("dog", 0.5)))
    shard = store(table, tmp_path / "with", np.eye(3)) / "part-00000.parquet"
    assert pool_predictions.features_of("pool/b.jpg", shard).tolist() == [0, 1, 0]
    shard = store(table, tmp_path / "without") / "part-00000.parquet"
    assert pool_predictions.features_of("pool/b.jpg", shard) is None


def test_what_a_champion_said_is_kept_for_its_own_predictions_only(tmp_path):
    store(predictions(b=("dog", 0.5), a=("emu", 0.25)), tmp_path / "predictions")
    (tmp_path / "model.keras").touch()
    path = tmp_path / pool_predictions.OPINIONS
    assert pool_predictions.read_opinions(path, model="b" * 64).startswith("the champion came without its predictions")
    assert not pool_predictions.write_opinions(tmp_path / "predictions", path, model="b" * 64)
    assert pool_predictions.write_opinions(tmp_path / "predictions", path, model="a" * 64)
    assert pool_predictions.read_opinions(path, model="a" * 64) == "this model is the champion"
    said = pool_predictions.read_opinions(path, model="b" * 64)
    assert sorted(zip(said["label"], said["score"], strict=True)) == [("dog", 0.5), ("emu", 0.25)]


def test_without_a_champion_there_is_no_opinion(tmp_path):
    assert (
        pool_predictions.read_opinions(tmp_path / pool_predictions.OPINIONS, model="a" * 64)
        == "there is no champion yet"
    )


def test_a_rough_cosine_orders_rows_as_the_exact_one_does_but_for_little(of_files):
    random = np.random.default_rng(0)
    centres = cosine.unit(random.normal(0, 1, (4, 32)))
    of = np.arange(200) % 4
    features = centres[of] + random.uniform(0, 1, (200, 1)) * cosine.unit(random.normal(0, 1, (200, 32)))
    stored = of_files(features)
    among = np.arange(200)[::-1]
    exact = (cosine.unit(features) * centres[of]).sum(axis=1)[among]
    assert np.abs(stored.roughly(centres.astype(np.float32), of[among], among=among) - exact).max() < 0.05
