import numpy as np
import pytest

from pipeline.evaluation import cosine
from pipeline.inference import pool, vectors
from tests.review.made_up_pools import predictions, store


def some(number: int, features: int = 200, *, seed: int = 0) -> np.ndarray:
    """Features around a few centres, none negative, as a network gives them."""
    random = np.random.default_rng(seed)
    ways = random.gamma(1.0, 1.0, (20, features))  # in which pictures differ: far fewer than there are features
    return random.gamma(0.5, 1.0, (number, 20)) @ ways + random.normal(0, 0.05, (number, features))


@pytest.fixture
def of_file(tmp_path):
    def of_file(features: np.ndarray) -> vectors.Vectors:
        np.save(tmp_path / "embeddings.npy", features.astype(np.float16))
        found = vectors.of_file(tmp_path / "embeddings.npy", tmp_path / "cache")
        assert found is not None
        return found

    return of_file


def test_the_nearest_are_those_of_an_exact_scan(of_file, monkeypatch):
    monkeypatch.setattr(vectors, "SHORTLIST", 100)
    monkeypatch.setattr(vectors, "BLOCK", 300)
    features = some(2000).astype(np.float16)
    found = of_file(features)
    rows, cosines = found.nearest(features[:20], number=6)
    exact, exact_cosines = cosine.nearest(features, np.arange(20), np.arange(2000), number=5)
    assert rows[:, 0].tolist() == list(range(20))  # itself, here
    assert np.mean([len(set(a) & set(b)) / 5 for a, b in zip(rows[:, 1:], exact, strict=True)]) > 0.97
    assert cosines[:, 1] == pytest.approx(exact_cosines[:, 0], abs=1e-3)


def test_only_rows_that_are_asked_for_are_found(of_file):
    features = some(50)
    assert set(of_file(features).nearest(features[:1], number=9, among=np.array([3, 7]))[0][0]) == {3, 7}


def test_codes_are_kept_and_made_anew_when_the_features_are_others(of_file, tmp_path):
    of_file(some(50))
    before = (tmp_path / "cache" / vectors.CODES).stat().st_mtime_ns
    vectors.of_file(tmp_path / "embeddings.npy", tmp_path / "cache")
    assert (tmp_path / "cache" / vectors.CODES).stat().st_mtime_ns == before
    assert len(of_file(some(60, seed=1)).codes) == 60


def test_places_are_those_of_the_store_though_an_image_failed(tmp_path):
    table = predictions(**dict.fromkeys("abcde", ("dog", 0.5)))
    features = np.eye(5)
    store(table, tmp_path / "predictions", features, shard_rows=2)
    rows = table.assign(embedding=[row.astype(np.float16) for row in features])
    rows.loc[0, "failure"], rows.at[0, "embedding"] = "cut short", None
    from pipeline.files import write_table
    from pipeline.inference.store import typed

    write_table(typed(rows.head(2)), tmp_path / "predictions/part-00000.parquet")
    found = vectors.of_pool(pool.read(tmp_path / "predictions"), tmp_path / "cache")
    assert found is not None
    assert found.nearest(features[[1, 4]], number=1)[0].ravel().tolist() == [1, 4]
    assert not found.exact[0].any()


def test_predictions_without_embeddings_have_no_nearest(tmp_path):
    store(predictions(a=("dog", 0.5), b=("dog", 0.5), c=("dog", 0.5)), tmp_path / "predictions")
    assert vectors.of_pool(pool.read(tmp_path / "predictions"), tmp_path / "cache") is None


def test_what_a_champion_said_is_kept_for_its_own_predictions_only(tmp_path):
    store(predictions(b=("dog", 0.5), a=("emu", 0.25)), tmp_path / "predictions")
    (tmp_path / "model.keras").touch()
    path = tmp_path / pool.OPINIONS
    assert pool.read_opinions(path, model="b" * 64).startswith("the champion came without its predictions")
    assert not pool.write_opinions(tmp_path / "predictions", path, model="b" * 64)
    assert pool.write_opinions(tmp_path / "predictions", path, model="a" * 64)
    assert pool.read_opinions(path, model="a" * 64) == "this model is the champion"
    said = pool.read_opinions(path, model="b" * 64)
    assert sorted(zip(said["label"], said["score"], strict=True)) == [("dog", 0.5), ("emu", 0.25)]


def test_without_a_champion_there_is_no_opinion(tmp_path):
    assert pool.read_opinions(tmp_path / pool.OPINIONS, model="a" * 64) == "there is no champion yet"


def test_a_rough_cosine_orders_rows_as_the_exact_one_does_but_for_little(tmp_path):
    random = np.random.default_rng(0)
    centres = cosine.unit(random.normal(0, 1, (4, 32)))
    of = np.arange(200) % 4
    features = centres[of] + random.uniform(0, 1, (200, 1)) * cosine.unit(random.normal(0, 1, (200, 32)))
    np.save(tmp_path / "features.npy", features.astype(np.float16))
    stored = vectors.of_file(tmp_path / "features.npy", tmp_path / "codes")
    assert stored is not None
    among = np.arange(200)[::-1]
    exact = (cosine.unit(features) * centres[of]).sum(axis=1)[among]
    assert np.abs(stored.roughly(centres.astype(np.float32), of[among], among=among) - exact).max() < 0.05
