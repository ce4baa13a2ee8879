"""What does not work while requests are answered is named by `/health`, for as long as it lasts."""

import os
import shutil
import sqlite3
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from pipeline.bundle import CARD, MODEL
from pipeline.errors import DataError
from pipeline.files import digest, read_json, write_json, write_table
from pipeline.library import classes
from pipeline.serving import releases, served, server
from pipeline.serving.served import SCORED
from pipeline.serving.store import schema
from tests.networks import save_bundle
from tests.serving.made_up_records import soon, stored
from tests.serving.made_up_service import Running, Shade, model, picture, release, running

OLD, NEW = "a" * 64, "b" * 64
DEEP = '{"a":' * 10_000 + "1" + "}" * 10_000


class Broken(Shade):
    """Fails as often as it is asked to."""

    def __init__(self, failures: int, error: BaseException):
        super().__init__()
        self.failures, self._error = failures, error

    def predict(self, pixels):
        if self.failures:
            self.failures -= 1
            raise self._error
        return super().predict(pixels)


def problems(own: Running) -> list[str]:
    told = own.client.get("/health").json()
    assert told["status"] == ("degraded" if told["trouble"] else "ok")
    return told["trouble"]


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bundle") / "bundle"
    save_bundle(folder)
    return folder


def lacks_a_column(folder: Path) -> str:
    rows = pd.DataFrame({"set": ["test"], "label": ["emu"], "predicted": ["emu"], "score": [0.5]})
    write_table(rows, folder / "scores.parquet")
    return "scores.parquet: the table lacks the column label_rank"


def has_a_deep_card(folder: Path) -> str:
    (folder / CARD).write_text(DEEP)
    return "card.json: not readable as JSON: nested too deep"


def has_a_list_for_a_card(folder: Path) -> str:
    (folder / CARD).write_text("[1, 2]")
    return "card.json: the card is not a JSON object"


def has_a_deep_network(folder: Path) -> str:
    with zipfile.ZipFile(folder / MODEL) as source, zipfile.ZipFile(folder / "changed", "w") as target:
        for name in source.namelist():
            target.writestr(name, DEEP if name == "config.json" else source.read(name))
    (folder / "changed").replace(folder / MODEL)
    write_json(read_json(folder / CARD) | {"model_digest": digest(folder / MODEL)}, folder / CARD)
    return "model.keras: Keras cannot read the model: maximum recursion depth exceeded"


def has_text_for_a_size(folder: Path) -> str:
    write_json(read_json(folder / CARD) | {"image_size": "large"}, folder / CARD)
    return "Error"


@pytest.mark.parametrize(
    "spoil", [lacks_a_column, has_a_deep_card, has_a_list_for_a_card, has_a_deep_network, has_text_for_a_size]
)
def test_a_release_that_cannot_be_read_is_named_and_the_next_good_one_is_taken_up(tmp_path, saved, spoil):
    models = {OLD: model(OLD), NEW: model(NEW)}
    with running(tmp_path, models=models) as own:
        known = own.service.releases._load
        (tmp_path / "events.csv").write_text("event,class,to,min_images,flip,by,at,note\n")

        def load(folder: Path) -> served.Served:
            if (folder / MODEL).exists():
                return served.load(
                    folder,
                    choose=lambda stored, _: served.Chosen("shade", {4: Shade()}) if stored.model else None,
                    events=classes.read(tmp_path / "events.csv"),
                    top_k=2,
                )
            return known(folder)

        own.service.releases._load = load
        own.service.releases.watch(0.02)
        bad = tmp_path / "bad"
        shutil.copytree(saved, bad)
        reason = spoil(bad)
        (tmp_path / "released").rename(tmp_path / "old")
        bad.rename(tmp_path / "released")
        assert soon(lambda: problems(own))
        [problem] = problems(own)
        assert problem.startswith("the newest release cannot be loaded (")
        assert reason in problem
        assert problem.endswith("; round-1-aaaaaaaaaaaa answers")
        assert str(tmp_path) not in problem
        assert own.predict(picture(255)).json()["pictures"][0]["model"] == OLD
        shutil.rmtree(tmp_path / "released")
        release(tmp_path / "released", NEW)
        assert soon(lambda: own.client.get("/version").json()["model"] == NEW)
        assert soon(lambda: not problems(own))


def test_a_release_that_could_not_be_loaded_is_tried_again_and_not_all_the_time(tmp_path, monkeypatch):
    monkeypatch.setattr(releases, "FIRST_TRY", 0.2)
    tries = []
    with running(tmp_path, models={OLD: model(OLD), NEW: model(NEW)}) as own:
        known = own.service.releases._load

        def load(folder: Path) -> served.Served:
            tries.append(folder)
            if len(tries) < 3:
                raise OSError(28, "no space left on device")
            return known(folder)

        own.service.releases._load = load
        own.service.releases.watch(0.01)
        release(tmp_path / "released", NEW)
        assert soon(lambda: own.client.get("/version").json()["model"] == NEW)
        assert len(tries) == 3
        assert problems(own) == []


def test_a_release_that_is_gone_is_named_until_there_is_one(tmp_path):
    with running(tmp_path) as own:
        (tmp_path / "released").rename(tmp_path / "away")
        own.service.releases.look()
        assert problems(own) == []  # another may take its place at this moment
        own.service.releases.look()
        assert problems(own) == ["there is no release any more; round-1-aaaaaaaaaaaa answers"]
        (tmp_path / "away").rename(tmp_path / "released")
        own.service.releases.look()
        assert problems(own) == []


def test_a_folder_that_cannot_be_looked_at_ends_no_thread(tmp_path):
    with running(tmp_path, models={OLD: model(OLD), NEW: model(NEW)}) as own:
        own.service.releases.watch(0.01)
        shutil.rmtree(tmp_path / "released")
        (tmp_path / "released").write_text("a file")
        assert soon(lambda: "new releases are not looked for: NotADirectoryError" in problems(own))
        (tmp_path / "released").unlink()
        release(tmp_path / "released", NEW)
        assert soon(lambda: own.client.get("/version").json()["model"] == NEW)
        assert soon(lambda: not problems(own))


def test_a_candidate_that_cannot_be_loaded_or_fails_is_named(tmp_path):
    candidate = Broken(1, ValueError("shape"))
    models = {OLD: model(OLD), NEW: model(NEW, candidate)}
    with running(tmp_path, models=models, shadow=True) as own:
        release(tmp_path / "shadow", "c" * 64)
        own.service.releases.look()
        assert problems(own) == ["the candidate cannot be loaded (KeyError); round-1-aaaaaaaaaaaa answers"]
        release(tmp_path / "shadow", NEW)
        own.service.releases.look()
        assert problems(own) == []
        assert own.predict(picture(255)).status_code == 200
        assert soon(lambda: problems(own) == ["the candidate cannot score what is asked: ValueError"])
        assert own.predict(picture(255)).status_code == 200
        assert soon(lambda: not problems(own))
    assert len(stored(own.url, schema.shadows)) == 1


@pytest.mark.parametrize("error", [RuntimeError("no memory on the device"), SystemExit(3), StopIteration()])
def test_a_model_that_fails_is_named_each_client_hears_of_it_and_the_next_is_answered(tmp_path, error):
    with running(tmp_path, models={OLD: model(OLD, Broken(1, error))}) as own:
        assert own.predict(picture(255)).status_code == 500
        assert problems(own) == [f"the model cannot answer: {type(error).__name__}"]
        assert own.predict(picture(255)).status_code == 200
        assert soon(lambda: not problems(own))


@pytest.mark.parametrize("error", [KeyError("most"), SystemExit()])
def test_a_fault_in_the_network_s_thread_leaves_nobody_waiting_and_the_thread_goes_on(tmp_path, error):
    with running(tmp_path) as own:
        batcher, served_, faults = own.service._batcher, own.service._batcher._served, [error]

        def fails_once():
            if faults and not batcher._waiting.qsize():  # what waited is in the thread's hands
                raise faults.pop()
            return served_()

        assert own.predict(picture(255)).status_code == 200
        batcher._served = fails_once
        codes = [own.predict(picture(255)).status_code for _ in range(3)]
        assert not faults
        assert codes[-1] == 200
        assert soon(lambda: not problems(own))


def test_where_neither_disk_nor_store_takes_a_record_health_says_so_until_one_does(tmp_path, monkeypatch):
    with running(tmp_path) as own:
        assert own.service.log.wait_until_stored(10)
        other = sqlite3.connect(tmp_path / "transactions.sqlite", isolation_level=None)
        other.execute("begin exclusive")
        with monkeypatch.context() as full:
            full.setattr(os, "write", lambda *_: (_ for _ in ()).throw(OSError(28, "no space left on device")))
            full.setattr(Path, "write_bytes", lambda *_: (_ for _ in ()).throw(OSError(28, "no space left on device")))
            assert own.predict(picture(255)).status_code == 503
            assert "no request is answered: neither the disk nor the store takes a record" in problems(own)
            other.execute("rollback")
            assert own.predict(picture(255)).status_code == 200
            assert soon(lambda: problems(own) == ["the disk takes no records: they go to the store at once"])
        own.service.log._mover.wake()
        assert soon(lambda: not problems(own))  # though nobody has asked since
        other.close()
    assert [row["status"] for row in stored(own.url)] == [200]


def test_images_that_cannot_be_kept_are_named_and_answered(tmp_path):
    with running(tmp_path, share=1.0) as own:
        (tmp_path / "kept").write_text("a file")
        assert own.predict(picture(255)).status_code == 200
        [problem] = problems(own)
        assert problem.startswith("images are not kept: ")
        (tmp_path / "kept").unlink()
        assert own.predict(picture(255)).status_code == 200
        assert problems(own) == []


def test_where_the_labels_cannot_be_read_nothing_old_is_deleted_for_now(tmp_path):
    with running(tmp_path, share=1.0) as own:
        own.predict(picture(255))
        assert own.service.log.wait_until_stored(10)
        old = sqlite3.connect(tmp_path / "transactions.sqlite")
        old.execute("update transactions set at = 1")
        old.commit()
        old.close()

        def unreadable() -> set[str]:
            raise DataError("not a table of labels")

        log, keeper = own.service.log, own.service._keeper
        with pytest.raises(DataError):
            server.prune(log, keeper, keep_days=1, spared=unreadable)
        assert len(list((tmp_path / "kept").rglob("*.png"))) == len(stored(own.url)) == 1
        assert server.prune(log, keeper, keep_days=1, spared=set) == server.PRUNE_EVERY
        assert list((tmp_path / "kept").rglob("*.png")) == stored(own.url) == []


def test_the_columns_of_a_promise_are_those_that_are_read():
    rows = pd.DataFrame([("test", "emu", "emu", 0.9, 1, "a")], columns=SCORED)
    assert served.expectation(rows, None)["test"]["n"] == 1
