import json

import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.library import label_studio

MARCH, APRIL = "2026-03-01T12:00:00.123456Z", "2026-04-01T12:00:00+02:00"


@pytest.fixture
def read(tmp_path):
    def write_and_read(*tasks: dict) -> tuple[pd.DataFrame, pd.DataFrame, int]:
        (tmp_path / "export.json").write_text(json.dumps(tasks), encoding="utf-8")
        return label_studio.read(tmp_path / "export.json")

    return write_and_read


def said(*labels: str | list, field: str = "choice", at: str | None = MARCH, by: object = 3, **more) -> dict:
    """An annotation: a name is a choice, a list a path in a taxonomy."""
    results = [
        {
            "from_name": field,
            "to_name": "image",
            "type": "taxonomy" if isinstance(label, list) else "choices",
            "value": {"taxonomy": [label]} if isinstance(label, list) else {"choices": [label]},
        }
        for label in labels
    ]
    return {"result": results, "completed_by": by, "created_at": at, "was_cancelled": False} | more


def task(number: int, *annotations: dict, image: str = "", **data) -> dict:
    prediction = {"model_version": "m", "result": said("wombat")["result"]}
    image = image or f"{number}.jpg"
    return {"id": number, "data": {"image": image} | data, "annotations": annotations, "predictions": [prediction]}


def record(number: int, annotator: object = 3, at: str = MARCH, **choices) -> dict:
    """A record of JSON-MIN."""
    facts = {"annotator": annotator, "annotation_id": 1, "created_at": at, "updated_at": at, "lead_time": 2.5}
    return {"image": f"{number}.jpg", "camera": "north", "id": number} | choices | facts


def cells(rows: pd.DataFrame, *columns: str) -> list[list[str]]:
    return rows[list(columns)].to_numpy().tolist()


def refusal(read, *tasks: dict) -> DataError:
    with pytest.raises(DataError) as refused:
        read(*tasks)
    assert len(str(refused.value).splitlines()) <= 3
    return refused.value


def test_a_choice_becomes_a_label_with_who_and_when(read):
    rows, conflicts, unlabelled = read(task(7, said("lion", by={"id": 3, "email": "ann@example.org"})))
    assert cells(rows, *label_studio.COLUMNS) == [
        ["7.jpg", "lion", "", "ok", "ann@example.org", "2026-03-01T12:00:00.123+00:00"]
    ]
    assert rows.index.tolist() == ["7"]
    assert (len(conflicts), unlabelled) == (0, 0)


@pytest.mark.parametrize(
    ("by", "name"), [(3, "3"), ("ann", "ann"), ({"id": 3}, "3"), ({"id": 3, "email": ""}, "3"), (None, "")]
)
def test_whoever_decided_is_named(read, by, name):
    assert read(task(1, said("lion", by=by)))[0]["by"].tolist() == [name]


@pytest.mark.parametrize(
    ("at", "utc"),
    [
        (APRIL, "2026-04-01T10:00:00.000+00:00"),
        ("2026-04-01T12:00:00", "2026-04-01T12:00:00.000+00:00"),
        (None, ""),
    ],
)
def test_times_are_those_of_greenwich(read, at, utc):
    assert read(task(1, said("lion", at=at)))[0]["at"].tolist() == [utc]


@pytest.mark.parametrize(
    ("choice", "row"),
    [
        (" lion ", ["lion", "", "ok"]),
        (["cat", "lion"], ["cat", "lion", "ok"]),
        (["cat", "lion", "cub"], ["cat", "lion/cub", "ok"]),
        (["lion"], ["lion", "", "ok"]),
        ("Unknown", ["", "", "unknown"]),
        (["unknown", "furry"], ["", "", "unknown"]),
    ],
)
def test_a_path_in_a_taxonomy_is_a_class_and_its_sub_class(read, choice, row):
    assert cells(read(task(1, said(choice)))[0], "label", "subclass", "status") == [row]


def test_what_is_no_choice_leaves_the_task_unlabelled(read):
    other = {"id": "r", "type": "rectanglelabels", "value": {"x": 1, "rectanglelabels": ["tail"]}, "from_name": "box"}
    relation = {"type": "relation", "from_id": "a", "to_id": "b", "direction": "right"}
    rows, _, unlabelled = read(
        task(1),
        task(2, said("lion", was_cancelled=True)),
        task(3, said()),
        task(4, {"result": [other, relation]}),
        task(5, said("lion")),
    )
    assert (rows["file"].tolist(), unlabelled) == (["5.jpg"], 4)


def test_of_choices_that_agree_the_last_one_counts(read):
    rows, conflicts, _ = read(
        task(1, said("lion", by="bob", at=APRIL), said("lion", by="ann", at=MARCH), said("puma", was_cancelled=True)),
        task(2, said("lion", by="bob", at=MARCH, updated_at=APRIL), said("lion", by="ann", at=MARCH)),
    )
    assert cells(rows.sort_index(), "label", "by") == [["lion", "bob"], ["lion", "bob"]]
    assert conflicts.empty


def test_of_one_person_who_chose_differently_the_last_choice_counts(read):
    rows, conflicts, _ = read(
        task(1, said("puma", by="ann", at=APRIL), said("lion", by="ann", at=MARCH), said("puma", by="bob", at=MARCH)),
        task(2, said("puma", by="ann", at=APRIL), said("lion", by="ann", at=MARCH), said("lion", by="bob", at=MARCH)),
        task(3, said("lion", "puma", by="ann", at=APRIL), said("lion", by="ann", at=MARCH)),
    )
    assert cells(rows.sort_index(), "file", "label") == [["1.jpg", "puma"]]
    assert sorted(set(conflicts["file"])) == ["2.jpg", "3.jpg"]


@pytest.mark.parametrize(
    "tasks",
    [
        [task(1, said("lion"), said("puma"))],
        [task(1, said("lion"), said("Unknown"))],
        [task(1, said("lion", "puma"))],
        [task(1, said(["cat", "lion"]), said(["cat", "puma"]))],
        [task(1, said("lion")), task(2, said("puma"), image="1.jpg")],
        [record(1, choice="lion"), record(1, annotator=4, choice="puma")],
        [record(1, choice={"choices": ["lion", "puma"]})],
    ],
    ids=["two people", "unknown", "one person", "sub-classes", "two tasks", "JSON-MIN", "two choices in JSON-MIN"],
)
def test_a_picture_with_different_choices_is_left_to_people(read, tasks):
    rows, conflicts, unlabelled = read(
        *tasks, task(9, said("lion")) if "data" in tasks[0] else record(9, choice="lion")
    )
    assert rows["file"].tolist() == ["9.jpg"]
    assert conflicts["file"].tolist() == ["1.jpg"]
    assert unlabelled == 0


@pytest.mark.parametrize(
    ("shown", "file"),
    [
        ("/data/local-files/?d=images/a%20%28b%29%26c.jpg", "images/a (b)&c.jpg"),
        ("/data/local-files/?d=images%2F%C3%B1.jpg", "images/ñ.jpg"),
        ("/data/local-files?x=1&d=/home/a.jpg", "home/a.jpg"),
        ("http://localhost:8080/data/local-files/?d=a.jpg", "a.jpg"),
        ("/data/upload/3/0a1b2c3d-a%20b.jpg", "upload/3/0a1b2c3d-a b.jpg"),
        ("https://labels.example.org/data/upload/3/a.jpg", "upload/3/a.jpg"),
        ("file:///home/me/a%20b.jpg", "/home/me/a b.jpg"),
        ("file://localhost/home/me/a.jpg", "/home/me/a.jpg"),
        ("/home/me/100% #1?.jpg", "/home/me/100% #1?.jpg"),
        ("night/a+b%20c.jpg", "night/a+b%20c.jpg"),
    ],
)
def test_what_label_studio_shows_leads_to_a_file(read, shown, file):
    assert read(task(1, said("lion"), image=shown))[0]["file"].tolist() == [file]


@pytest.mark.parametrize(
    "shown", ["s3://bucket/a.jpg", "gs://b/a.jpg", "https://example.org/a.jpg?sig=x", "data:image/png;base64,AAAA"]
)
def test_a_picture_elsewhere_is_refused_with_its_task(read, shown):
    error = refusal(read, task(1, said("lion")), task(17, image=shown))
    assert "is no file on this machine" in error.what
    assert error.where.endswith("export.json, task 17")


def test_the_picture_may_be_in_another_field(read):
    tasks = [
        {"id": n, "data": {"photo": f"x/{n}.JPG", "camera": "north"}, "annotations": [said("lion")]} for n in (1, 2)
    ]
    assert read(*tasks)[0]["file"].tolist() == ["x/1.JPG", "x/2.JPG"]


def test_a_task_without_a_number_is_called_by_its_place(read):
    rows, _, _ = read(*({"data": {"image": f"{n}.jpg"}, "annotations": [said("lion")]} for n in "ab"))
    assert rows.index.tolist() == ["1", "2"]


def test_of_several_fields_the_one_called_label_holds_the_classes(read):
    both = said("sharp", field="quality")
    both["result"] += said("lion", field="label")["result"]
    assert read(task(1, both))[0]["label"].tolist() == ["lion"]


def test_json_min_has_a_record_for_each_annotation(read):
    rows, _, unlabelled = read(
        record(1, annotator="ann", species="lion"),
        record(1, annotator="bob", at=APRIL, species="lion"),
        record(2, species=[{"taxonomy": [["cat", "lion"]]}]),
        record(3, box=[{"x": 1, "rectanglelabels": ["tail"]}]),
    )
    assert cells(rows, "file", "label", "subclass", "by") == [
        ["2.jpg", "cat", "lion", "3"],
        ["1.jpg", "lion", "", "bob"],
    ]
    assert unlabelled == 1


@pytest.mark.parametrize(
    ("tasks", "said_", "where"),
    [
        ([task(1)], "no task has a choice", "export.json"),
        ([task(1, said("lion", field="a"), said("x", field="b"))], "in several fields: a, b", "export.json"),
        ([{"data": {"text": "x"}, "annotations": []}], "no task names a picture", "export.json"),
        ([{"data": {"left": "a.jpg", "right": "b.jpg"}}], "several fields name pictures: left, right", "export.json"),
        ([task(1, said("lion")), {"id": 5, "data": {"text": "x"}}], "has no picture", "task 5"),
        ([task(1), task(2, said("lion", at="last week"))], "annotations.0.created_at", "task 2"),
        ([task(1), {"data": {"image": "a.jpg"}, "annotations": 3}], "annotations: ", "task 2"),
        ([task(1), {"data": 3}], "data: ", "task 2"),
        ([record(1, a="lion", b="night")], "in several fields: a, b", "export.json"),
    ],
)
def test_what_cannot_be_told_is_refused(read, tasks, said_, where):
    error = refusal(read, *tasks)
    assert said_ in error.what
    assert error.where.endswith(where)
