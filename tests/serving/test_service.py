"""What a client is told, and what is remembered of it."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.serving import keys
from pipeline.serving.store import schema
from tests.serving.made_up_records import stored
from tests.serving.made_up_service import Shade, model, picture, release, running

SOON = 10.0
OLD, NEW = "a" * 64, "b" * 64


def test_an_answer_says_what_the_model_makes_of_the_picture_and_is_recorded(tmp_path, url):
    with running(tmp_path, url=url) as own:
        told = own.predict(picture(255), params={"user": "ann"}).json()
    [answer] = told["pictures"]
    assert (answer["answer"], answer["label"], answer["shown"], answer["score"]) == ("light", "light", True, 1.0)
    assert [top["label"] for top in answer["top"]] == ["light", "dark"]
    [row] = stored(url)
    assert (row["request_id"], row["client"], row["user"]) == (told["request_id"], "local", "ann")
    for name in ("model", "version", "label", "score", "threshold", "shown", "sha256", "latency_ms", "status"):
        assert row[name] == answer[name]
    assert (row["width"], row["height"], row["bytes"], row["brightness"]) == (16, 16, len(picture(255)), 1.0)
    assert (row["top_labels"], row["top_scores"], row["path"]) == (["light", "dark"], [1.0, 0.0], "")


def test_below_the_threshold_the_answer_is_unknown(tmp_path):
    with running(tmp_path) as own:
        [answer] = own.predict(picture(150)).json()["pictures"]
    assert (answer["answer"], answer["label"], answer["shown"]) == ("unknown", "light", False)
    assert stored(own.url)[0]["shown"] is False


def test_the_bytes_of_a_picture_are_as_good_as_a_form(tmp_path):
    with running(tmp_path) as own:
        raw = own.client.post("/predict", content=picture(0), headers={"content-type": "image/png"})
        plain = own.client.post("/predict", content=picture(0))
    assert raw.json()["pictures"][0]["answer"] == plain.json()["pictures"][0]["answer"] == "dark"


def test_several_pictures_are_answered_in_their_order_also_if_one_cannot_be_read(tmp_path):
    with running(tmp_path) as own:
        answer = own.predict(picture(0), b"no picture", picture(255))
    told = answer.json()["pictures"]
    assert answer.status_code == 200
    assert [picture["position"] for picture in told] == [0, 1, 2]
    assert [picture.get("answer") or picture["error"] for picture in told] == ["dark", "not a picture", "light"]
    assert [(row["status"], row["error"]) for row in sorted(stored(own.url), key=lambda row: row["position"])] == [
        (200, ""), (422, "not a picture"), (200, ""),
    ]  # fmt: skip


def test_pictures_that_come_together_go_through_the_network_together(tmp_path):
    shade = Shade(seconds=0.05)
    with running(tmp_path, models={OLD: model(runtime=shade)}) as own, ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda number: own.predict(picture(255 * (number % 2))), range(24)))
    assert [answer.json()["pictures"][0]["answer"] for answer in answers] == ["dark", "light"] * 12
    assert len(shade.batches) < 16
    assert max(shade.batches) <= 4


def test_when_too_many_wait_the_rest_are_told_to_ask_again(tmp_path):
    slow = {OLD: model(runtime=Shade(seconds=0.2))}
    with running(tmp_path, models=slow, max_waiting=2) as own, ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda _: own.predict(picture(255)), range(16)))
    refused = [answer for answer in answers if answer.status_code == 503]
    assert refused
    assert all(answer.headers["retry-after"] for answer in refused)
    assert {answer.status_code for answer in answers} == {200, 503}
    assert sorted(row["status"] for row in stored(own.url)) == sorted(answer.status_code for answer in answers)


def test_a_new_release_answers_without_a_request_being_lost_and_can_be_rolled_back(tmp_path):
    models = {OLD: model(OLD, Shade(seconds=0.005)), NEW: model(NEW, Shade(swapped=True, seconds=0.005))}
    with running(tmp_path, models=models) as own, ThreadPoolExecutor(4) as threads:
        answers = []

        def ask(_) -> None:
            answers.append(own.predict(picture(255)))

        for digest in (NEW, OLD):
            work = [threads.submit(ask, number) for number in range(30)]
            release(tmp_path / "released", digest)
            own.service.releases.look()
            [job.result() for job in work]
            assert own.client.get("/version").json()["model"] == digest
    told = [answer.json()["pictures"][0] for answer in answers]
    assert len(told) == 60
    assert {(answer["model"], answer["label"]) for answer in told} <= {(OLD, "light"), (NEW, "dark")}
    assert {answer["model"] for answer in told} == {OLD, NEW}
    rows = {(row["request_id"], row["model"]) for row in stored(own.url)}
    assert rows == {(answer.json()["request_id"], answer.json()["pictures"][0]["model"]) for answer in answers}


def test_a_release_that_cannot_be_loaded_leaves_the_old_one_answering_and_says_so(tmp_path, monkeypatch):
    from pipeline.errors import DataError

    with running(tmp_path) as own:
        monkeypatch.setattr(
            own.service.releases, "_load", lambda _: (_ for _ in ()).throw(DataError("the bundle is incomplete"))
        )
        release(tmp_path / "released", NEW)
        own.service.releases.look()
        assert own.predict(picture(255)).json()["pictures"][0]["model"] == OLD
        assert own.client.get("/health").json() == {
            "status": "degraded",
            "trouble": [f"the newest release cannot be loaded (the bundle is incomplete); round-1-{OLD[:12]} answers"],
        }  # fmt: skip


def test_a_candidate_hears_the_same_pictures_and_answers_nobody(tmp_path):
    release(tmp_path / "shadow", NEW)
    models = {OLD: model(OLD), NEW: model(NEW, Shade(swapped=True))}
    with running(tmp_path, models=models, shadow=True) as own:
        told = [own.predict(picture(shade)).json() for shade in (0, 255, 0)]
        assert own.client.get("/version").json()["candidate"] == NEW
    assert [one["pictures"][0]["label"] for one in told] == ["dark", "light", "dark"]
    shadows = stored(own.url, schema.shadows)
    assert [(row["request_id"], row["label"], row["model"]) for row in shadows] == [
        (one["request_id"], label, NEW) for one, label in zip(told, ["light", "dark", "light"], strict=True)
    ]


def test_feedback_is_recorded_against_the_answer(tmp_path, url):
    with running(tmp_path, url=url) as own:
        request_id = own.predict(picture(255)).json()["request_id"]
        said = {"request_id": request_id, "verdict": "wrong", "label": "dark", "note": "look closer", "user": "ann"}
        assert own.client.post("/feedback", json=said).json() == {"recorded": True}
    [row] = stored(url, schema.evaluations)
    expected = {
        "request_id": request_id, "position": 0, "by": "local/ann", "verdict": "wrong", "label": "dark",
        "source": "feedback", "probability": None, "note": "look closer",
    }  # fmt: skip
    assert {name: row[name] for name in expected} == expected


def test_feedback_on_what_was_never_answered_is_refused(tmp_path):
    with running(tmp_path) as own:
        answer = own.client.post("/feedback", json={"request_id": "0" * 32, "verdict": "right"})
    assert answer.status_code == 404
    assert stored(own.url, schema.evaluations) == []


def test_while_the_store_is_down_requests_and_feedback_are_taken(tmp_path):
    folder = tmp_path / "store"
    folder.mkdir()
    (folder / "transactions.sqlite").mkdir()  # where the file should be
    with running(tmp_path, url=f"sqlite:///{folder}/transactions.sqlite") as own:
        request_id = own.predict(picture(255)).json()["request_id"]
        answer = own.client.post("/feedback", json={"request_id": request_id, "verdict": "right"})
        health = own.client.get("/health").json()
        (folder / "transactions.sqlite").rmdir()
        assert own.service.log.wait_until_stored(SOON)
    assert (answer.status_code, health["status"]) == (201, "degraded")
    assert [row["request_id"] for row in stored(own.url)] == [request_id]
    assert [row["request_id"] for row in stored(own.url, schema.evaluations)] == [request_id]


def test_what_cannot_be_recorded_is_not_answered(tmp_path, monkeypatch):
    from pipeline.errors import ResumableError

    def full(*_) -> None:
        raise ResumableError("the disk is full")

    with running(tmp_path) as own:
        monkeypatch.setattr(own.service.log, "record", full)
        answer = own.predict(picture(255))
        monkeypatch.undo()
        assert own.predict(picture(255)).status_code == 200
    assert (answer.status_code, "cannot be recorded" in answer.json()["error"]) == (503, True)
    assert "light" not in answer.text


def test_health_classes_version_and_metrics_are_told(tmp_path):
    with running(tmp_path) as own:
        own.predict(picture(255))
        own.predict(b"none")
        assert own.client.get("/health").json() == {"status": "ok", "trouble": []}
        assert own.client.get("/classes").json() == {"classes": ["dark", "light"], "threshold": 0.8, "thresholds": {}}
        assert own.client.get("/version").json()["model"] == OLD
        metrics = own.client.get("/metrics").text
    assert 'wallaby_pictures_total{shown="yes",status="200"} 1.0' in metrics
    assert 'wallaby_pictures_total{shown="no",status="422"} 1.0' in metrics
    assert f'model="{OLD}"' in metrics


def test_only_a_sample_of_the_contents_is_kept_each_once(tmp_path):
    with running(tmp_path, share=0.5) as own:
        for shade in [*range(40), *range(40)]:
            own.predict(picture(shade))
    kept = list((tmp_path / "kept").glob("*/*.png"))
    assert 8 < len(kept) < 32
    named = {row["path"] for row in stored(own.url) if row["path"]}
    assert named == {f"{path.parent.name}/{path.name}" for path in kept}


def test_a_service_that_is_stopped_answers_what_waits(tmp_path):
    with running(tmp_path, models={OLD: model(runtime=Shade(seconds=0.1))}) as own, ThreadPoolExecutor(8) as threads:
        work = [threads.submit(own.predict, picture(255)) for _ in range(8)]
        threading.Event().wait(0.15)
        assert {job.result().status_code for job in work} == {200}
    assert len(stored(own.url)) == 8


@pytest.fixture
def keyed(tmp_path):
    path = tmp_path / "keys.json"
    return path, {name: keys.add(path, name, per_minute=rate) for name, rate in (("ann", 600), ("bob", 2))}


def test_without_a_valid_key_nothing_is_told_but_that_the_service_lives(tmp_path, keyed):
    path, _ = keyed
    with running(tmp_path, keys=path) as own:
        for headers in (
            {},
            {"x-api-key": "guess"},
            {"authorization": "Bearer guess"},
            {"authorization": "Basic guess"},
        ):
            assert own.predict(picture(255), headers=headers).status_code == 401
            for address in ("/version", "/classes", "/metrics"):
                assert own.client.get(address, headers=headers).status_code == 401
        assert own.client.get("/health").status_code == 200
    assert stored(own.url) == []


def test_a_key_names_the_client_in_the_log_and_only_its_own_answers_can_be_judged(tmp_path, keyed):
    path, made = keyed
    with running(tmp_path, keys=path) as own:
        told = own.predict(picture(255), headers={"x-api-key": made["ann"]}).json()
        said = {"request_id": told["request_id"], "verdict": "wrong"}
        foreign = own.client.post("/feedback", json=said, headers={"authorization": f"Bearer {made['bob']}"})
        assert foreign.status_code == 404
        assert own.client.post("/feedback", json=said, headers={"x-api-key": made["ann"]}).status_code == 201
    assert [row["client"] for row in stored(own.url)] == ["ann"]
    assert [row["by"] for row in stored(own.url, schema.evaluations)] == ["ann"]


def test_a_client_that_asks_too_often_is_told_when_to_come_back_and_nobody_else_suffers(tmp_path, keyed):
    path, made = keyed
    with running(tmp_path, keys=path) as own:
        codes = [own.predict(picture(255), headers={"x-api-key": made["bob"]}) for _ in range(4)]
        assert [answer.status_code for answer in codes] == [200, 200, 429, 429]
        assert 1 <= int(codes[-1].headers["retry-after"]) <= 30
        assert own.predict(picture(255), headers={"x-api-key": made["ann"]}).status_code == 200


def test_many_pictures_in_a_request_count_as_many(tmp_path, keyed):
    path, made = keyed
    with running(tmp_path, keys=path) as own:
        headers = {"x-api-key": made["bob"]}
        assert own.predict(*[picture(255)] * 5, headers=headers).status_code == 200
        assert own.predict(picture(255), headers=headers).status_code == 429


def test_nothing_secret_is_written_anywhere(tmp_path, keyed, capfd):
    path, made = keyed
    with running(tmp_path, keys=path) as own:
        for headers in ({"x-api-key": made["ann"]}, {"authorization": f"Bearer {made['ann']}"}):
            own.predict(picture(255), b"none", headers=headers, params={"key": made["ann"]})
        own.client.get(f"/{made['ann']}", headers={"x-api-key": "another-secret"})
        metrics = own.client.get("/metrics", headers={"x-api-key": made["ann"]}).text
    said = capfd.readouterr()
    written = b"".join(file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    for secret in (*made.values(), "another-secret"):
        assert secret not in said.out + said.err + metrics
        assert secret.encode() not in written
