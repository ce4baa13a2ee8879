"""The record of a round: what it keeps, that equal rounds give equal bytes, and which files are not records."""

import json
from pathlib import Path

import pytest

from pipeline.errors import DataError
from pipeline.evaluation import over_rounds, round_record
from pipeline.evaluation.round_record import Record
from pipeline.files import write_text
from tests.evaluation.made_up_records import CLASSES, digest, products, record, scores


def written(folder: Path, made: Record) -> Path:
    write_text(round_record.to_text(made), folder / made.name)
    return folder / made.name


def test_a_record_names_its_round_and_comes_back_as_it_was_written(tmp_path):
    path = written(tmp_path, record(2))
    assert path.name == f"2-{digest(2)[:12]}.json"
    assert round_record.read(path) == record(2)


def test_equal_products_give_equal_bytes_and_what_is_not_known_is_null():
    text = round_record.to_text(record(1))
    assert text == round_record.to_text(record(1))
    assert "NaN" not in text
    assert json.loads(text)["measured"]["test"]["ece"] is None
    assert list(json.loads(text)) == sorted(json.loads(text))


def test_headline_figures_and_parameters_have_the_names_that_mlflow_shows():
    made = record(2)
    assert made.headline["test_accuracy"] == 0.7
    assert (made.headline["test_images"], made.headline["minutes"], made.headline["epochs"]) == (100, 90.0, 9.0)
    assert (made.parameters["classes"], made.parameters["images_train"]) == (3, 200)
    assert made.parameters["parent"] == f"round-1-{digest(1)[:12]}"


def test_the_curve_is_rounded_and_has_one_value_per_epoch():
    assert record().curve == {"epoch": [1, 2], "loss": [1.23457, 1.0], "seconds": [30.0, 30.0]}


def test_the_price_of_a_training_is_that_of_its_last_epoch():
    made = products()
    made["history"]["cost"] = [1.0, 2.345]
    priced = round_record.of_round(**made)
    assert (priced.training["cost"], priced.headline["cost"]) == (2.35, 2.35)
    assert "cost" not in record().headline


def test_a_verdict_on_another_model_is_left_out():
    made = products(verdict={"model": digest(9), "verdict": "fail", "reason": "", "champion": ""})
    assert round_record.of_round(**made).gate.verdict == ""


def test_classes_and_bands_come_back_as_tables_also_a_class_called_na():
    made = record(right=70)
    table = round_record.per_class_table(made)
    assert table[["set", "label", "n", "recall"]].to_numpy().tolist() == [
        ["test", "cat", 100, 0.7],
        ["train", "cat", 50, 1.0],
    ]
    bands = round_record.band_table(made)
    expected = over_rounds.by_band(scores(70))
    assert bands[["set", "band", "n", "right"]].equals(expected[["set", "band", "n", "right"]])
    assert made.classes == CLASSES


def test_what_a_newer_program_has_added_is_kept(tmp_path):
    made = Record.model_validate(record().model_dump() | {"energy": {"kwh": 3}})
    assert '"energy": {"kwh": 3}' in written(tmp_path, made).read_text()
    assert round_record.read(tmp_path / made.name) == made


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda text: text[:200], "not readable as JSON"),
        (lambda text: "", "not readable as JSON"),
        (lambda text: "<<<<<<< HEAD\n" + text, "not readable as JSON"),
        (lambda text: "[" * 100_000, "not readable as JSON"),
        (lambda text: "[1, 2]", "no record of a round"),
        (lambda text: text.replace('"format": 1', '"format": 2'), "format"),
        (lambda text: text.replace('"round": 1', '"round": "one"'), "round"),
        (lambda text: text.replace('"round": 1,', ""), "round: Field required"),
        (lambda text: text.replace('"top1": 0.7', '"top1": 7.0'), "measured.test.top1 cannot be 7"),
        (lambda text: text.replace('"top1": 0.7', '"top1": NaN'), "measured.test.top1"),
        (lambda text: text.replace('"top1": 0.7', '"top1": {}'), "measured.test.top1"),
        (lambda text: text.replace('["cat", "dog", "NA"]', '["cat", "dog"]'), "not one value for each of 2 classes"),
        (lambda text: text.replace('"right": [70,', '"right": [170,'), "more images right than there are"),
        (lambda text: text.replace('"epoch": [1, 2]', '"epoch": [1]'), "different lengths"),
        (lambda text: text.replace("2026-03-01T", "yesterday "), "Invalid isoformat string"),
        (lambda text: text.replace('"round": 1', '"round": 7'), "the record of another round, 7-"),
    ],
)  # fmt: skip
def test_what_was_cut_short_or_edited_is_one_clear_error(tmp_path, change, fault):
    path = written(tmp_path, record())
    changed = change(path.read_text())
    assert changed != path.read_text()
    path.write_text(changed)
    with pytest.raises(DataError) as refused:
        round_record.read(path)
    assert fault in refused.value.what
    assert len(str(refused.value).splitlines()) == 3
    assert refused.value.mend == f"`git checkout -- {path}` brings its last version back"
    written(tmp_path, record(2))
    records, faults = round_record.read_all(tmp_path)
    assert ([made.round for made in records], len(faults)) == ([2], 1)


def test_bytes_that_are_no_text_and_a_folder_are_no_records(tmp_path):
    (tmp_path / "1-a.json").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "2-b.json").mkdir()
    (tmp_path / ".3-c.json.host-1.tmp").write_text("{")
    records, faults = round_record.read_all(tmp_path)
    assert (records, len(faults)) == ([], 2)
    assert round_record.read_all(tmp_path / "none") == ([], [])


def test_a_copy_under_another_digest_is_left_out(tmp_path):
    written(tmp_path, record(1))
    written(tmp_path, record(1, model_digest="f" * 64))
    records, [fault] = round_record.read_all(tmp_path)
    assert [made.model_digest for made in records] == [digest(1)]
    assert fault.what == f"it names the MLflow run of {record(1).name}"


def test_records_are_in_the_order_of_their_trainings_and_untimed_ones_by_round():
    made = [record(3), record(2, started=""), record(1)]
    assert [one.round for one in round_record.in_order(made)] == [1, 2, 3]


def test_the_champion_is_the_model_that_was_released_last_wherever_the_clock_stood():
    first = record(1, releases=[{"at": "2026-03-05T23:30:00+00:00"}])
    second = record(2, releases=[{"at": "2026-03-06T01:00:00+02:00"}])
    assert round_record.champion([first, second]) == digest(1)
    assert round_record.champion([record(1)]) == ""


def test_a_new_evaluation_renews_a_record_and_keeps_its_releases_and_the_verdict_before():
    before = record(1, releases=[{"at": "2026-03-05T00:00:00+00:00"}])
    itself = {"verdict": "pass", "reason": "it is the champion", "champion": digest(1)}
    now = round_record.renewed(before, record(1, right=80, gate=itself))
    assert now.measured["test"]["top1"] == 0.8
    assert now.gate.reason == "nothing is lost"
    assert now.releases == before.releases
    again = {"verdict": "fail", "reason": "worse", "champion": digest(9)}
    assert round_record.renewed(before, record(1, gate=again)).gate.reason == "worse"
