"""The Ray engine: the workers are planned so that Ray cannot hang, and a node that dies loses nothing."""

import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import UsageError
from pipeline.files import digest
from pipeline.inference import cluster, distributed, local, prediction, shards, store
from pipeline.inference.cluster import Workers
from pipeline.inference.prediction import Seconds
from tests.inference.shade import read
from tests.library.builders import put

NODE = {"object_store_memory": 100 * 2**20, "include_dashboard": False}
AT_ONCE = {  # a dead node is noticed within seconds, not half a minute
    "health_check_initial_delay_ms": 1000,
    "health_check_period_ms": 1000,
    "health_check_failure_threshold": 3,
}


@dataclass
class Shade:
    """A runtime that tells light pictures from dark ones, if what was sent is there."""

    card: str
    classes, image_sizes, model, key = ["dark", "light"], (8,), "m", "m"

    def __post_init__(self):
        assert Path(self.card).read_text() == "{}"

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        light = pixels.mean(axis=(1, 2, 3)) / 255
        return np.stack([1 - light, light], axis=1)

    def predict_with_features(self, pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return self.predict(pixels), pixels[:, 0, :3, 0].astype(np.float16)


@pytest.mark.parametrize(
    ("nodes", "workers", "cpus", "expected"),
    [
        ([2], 0, 0, Workers(1, 1)),  # a laptop: one CPU works, one is free
        ([16], 0, 0, Workers(1, 15)),
        ([8, 8, 8], 0, 0, Workers(3, 7)),
        ([8, 8, 8], 2, 0, Workers(2, 7)),
        ([8, 8, 8], 0, 1, Workers(23, 1)),
        ([8, 8, 8], 0, 8, Workers(2, 8)),  # a node is left to Ray
        ([1, 1], 0, 0, Workers(1, 1)),
        ([0, 8, 8], 0, 0, Workers(2, 7)),  # a head that takes no work
    ],
)
def test_workers_take_what_leaves_a_cpu_free(nodes, workers, cpus, expected):
    assert cluster.plan(nodes, workers=workers, cpus=cpus) == expected


@pytest.mark.parametrize(
    ("nodes", "workers", "cpus", "message"),
    [
        ([2], 2, 1, "no room for 2 workers with 1 of 2 CPUs on 1 node each: Ray needs one CPU free, or it hangs"),
        ([4, 4], 2, 4, "no room for 2 workers with 4 of 8 CPUs on 2 nodes each"),
        ([4, 4], 0, 8, "no room for a worker with 8 of 8 CPUs on 2 nodes"),
        ([1], 0, 0, "no room for a worker with 1 of 1 CPUs on 1 node"),
    ],
)
def test_workers_that_would_leave_no_cpu_free_are_refused_with_the_figures(nodes, workers, cpus, message):
    with pytest.raises(UsageError) as error:
        cluster.plan(nodes, workers=workers, cpus=cpus)
    assert message in error.value.what


@given(st.lists(st.integers(0, 64), min_size=1, max_size=8), st.integers(0, 8), st.integers(0, 16))
def test_no_plan_reserves_all_cpus_or_more_than_a_node_has(nodes, workers, cpus):
    try:
        planned = cluster.plan(nodes, workers=workers, cpus=cpus)
    except UsageError:
        return
    assert 1 <= planned.number <= sum(node // planned.cpus for node in nodes)
    assert sum(nodes) - planned.number * planned.cpus >= 1


@given(st.lists(st.integers(0, 7), max_size=6), st.integers(1, 5))
def test_pieces_hold_all_rows_in_order(sizes, rows):
    numbers = iter(range(100))
    tables = [pd.DataFrame({"x": [next(numbers) for _ in range(size)]}) for size in sizes]
    pieces = list(distributed.cut(tables, rows))
    assert [x for piece in pieces for x in piece["x"]] == list(range(sum(sizes)))
    assert all(len(piece) == rows for piece in pieces[:-1])
    assert all(len(piece) for piece in pieces)


def test_without_ray_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(UsageError, match="not installed") as error, cluster.connected("", to_send=0):
        pass
    assert "[distributed]" in error.value.mend


def test_an_address_where_nobody_answers_is_named():
    with (
        pytest.raises(UsageError, match="no Ray cluster answers") as error,
        cluster.connected("127.0.0.1:1", to_send=0),
    ):
        pass
    assert "127.0.0.1:1" in error.value.where


@pytest.fixture
def pool(tmp_path):
    """Pictures from dark to light, two alike; the index says that number 3 is damaged, and number 7 has gone since."""
    files = [put(tmp_path / "pool" / f"{n:03d}.png", Image.new("L", (8, 8), n)) for n in range(240)]
    rows = [(f"pool/{file.name}", digest(file), "") for file in files]
    table = pd.DataFrame(rows, columns=["image", "sha256", "failure"], dtype="str")
    table.loc[200, "sha256"] = table.loc[100, "sha256"]
    files[200].write_bytes(files[100].read_bytes())
    table.loc[3, "failure"] = "damaged or cut short"
    files[7].unlink()
    return table


@pytest.mark.timeout(300)
def test_a_node_that_dies_in_the_middle_loses_nothing_and_the_rows_are_those_of_one_machine(
    pool, tmp_path, monkeypatch
):
    ray_cluster, cloudpickle = pytest.importorskip("ray.cluster_utils"), pytest.importorskip("ray.cloudpickle")
    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # the nodes do not have this test
    for name, value in cluster.QUIET.items():
        monkeypatch.setenv(name, value)
    put(tmp_path / "sent" / "card.json", b"{}")
    options = {"batch_size": 4, "top_k": 2, "embeddings": True}
    pieces = [pool[:100], pool[100:]]
    nodes = ray_cluster.Cluster(initialize_head=True, head_node_args=NODE | {"num_cpus": 2, "_system_config": AT_ONCE})
    killed = []

    def predict(tables: Iterable[pd.DataFrame], _: Seconds) -> Iterator[pd.DataFrame]:
        found = distributed.predict(
            tables,
            len(pool),
            workers=cluster.plan(cpus, workers=2, cpus=1),
            sent={"model": tmp_path / "sent"},
            build=partial(Shade, "model/card.json"),
            folders={"pool": tmp_path / "pool"},
            urls={"pool": f"file://{tmp_path}/pool"},
            most_rows=2048,
            **options,
        )
        for number, rows in enumerate(found):
            yield rows
            if number == 3:
                nodes.remove_node(second, allow_graceful=False)
                killed.append(number)

    try:
        second = nodes.add_node(num_cpus=1, **NODE)
        with cluster.connected(nodes.address, to_send=0) as cpus:
            made = store.Store(tmp_path / "cluster", "m", arrays=[shards.FEATURES])
            told = local.collect(lambda: pieces, len(pool), predict=predict, out=made, shard_rows=64)
    finally:
        nodes.shutdown()
    assert killed
    assert (told.predicted, told.copied) == (240, 1)
    here = store.Store(tmp_path / "here", "m", arrays=[shards.FEATURES])
    local.identify(
        lambda: pieces,
        len(pool),
        runtime=Shade(str(tmp_path / "sent" / "card.json")),
        load=prediction.from_folders({"pool": tmp_path / "pool"}),
        out=here,
        shard_rows=64,
        **options,
    )
    pd.testing.assert_frame_equal(read(tmp_path / "cluster"), read(tmp_path / "here"))
    assert read(tmp_path / "here")["failure"].value_counts().to_dict() == {
        "": 238,
        "damaged or cut short": 1,
        "missing": 1,
    }
