import json
import unicodedata
from pathlib import Path

import pandas as pd
import pytest

from pipeline.errors import DataError
from pipeline.library import exchange, labels


@pytest.fixture
def listed(tmp_path):
    """Writes a file of another tool beside the folder `photos`, in which these names are touched, and reads it."""

    def read(text: str, *names: str, folder: str = "") -> tuple[pd.DataFrame, list[str]]:
        for name in names:
            path = tmp_path / "photos" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        source = tmp_path / "their file"
        source.write_text(text.replace("HERE", str(tmp_path / "photos")), encoding="utf-8")
        found = exchange.read(source, origin="real")
        return exchange.place(found, tmp_path / (folder or "photos"), "pool/cards", source)

    return read


def cells(rows: pd.DataFrame, *columns: str) -> list[list[str]]:
    return rows[list(columns)].to_numpy().tolist()


def refusal(listed, *args, **options) -> DataError:
    with pytest.raises(DataError) as refused:
        listed(*args, **options)
    assert len(str(refused.value).splitlines()) <= 3
    return refused.value


def test_zambas_columns_become_ours(listed):
    rows, conflicts = listed(
        "filepath,label,site,split\na b (1).jpg,lion,s1,train\nHERE/x/b.jpg,tapir,,test\n./y/../c.jpg,Unknown,s1,\n",
        "c.jpg",
    )
    assert cells(rows, "image", "label", "group", "status", "origin") == [
        ["pool/cards/a b (1).jpg", "lion", "s1", "ok", "real"],
        ["pool/cards/x/b.jpg", "tapir", "", "ok", "real"],
        ["pool/cards/c.jpg", "", "s1", "unknown", "real"],
    ]
    assert len(labels.check(rows, ["pool"], "zamba.csv")) == 3
    assert conflicts == []


def test_a_table_without_sites_has_no_groups(listed):
    assert "group" not in listed("filepath,label\na.jpg,lion\n", "a.jpg")[0]


def test_what_the_table_says_of_an_image_is_kept(listed):
    rows, _ = listed("filepath,label,status,origin\na.jpg,lion,bad,staged\nb.jpg,lion,,\nc.jpg,,,\n", "a.jpg")
    assert cells(rows, "status", "origin") == [["bad", "staged"], ["ok", "real"], ["unknown", "real"]]


def test_a_table_with_zambas_columns_and_ours_is_read_by_zambas(listed):
    rows, _ = listed("filepath,image,label,site,group,file\na.jpg,x,lion,s1,g1,y\n", "a.jpg")
    assert cells(rows, "image", "group") == [["pool/cards/a.jpg", "s1"]]


@pytest.mark.parametrize("name", ["../a.jpg", "/elsewhere/a.jpg", "x/../../a.jpg", "../photos2/a.jpg", ".", '""'])
def test_a_file_outside_the_folder_is_named_with_its_row(listed, name):
    error = refusal(listed, f'filepath,label\n"two\nlines.jpg",lion\n{name},lion\n', "two\nlines.jpg")
    assert error.where.endswith("their file, row 4")


def test_the_folder_that_has_all_files_is_offered(listed, tmp_path):
    text = f"filepath,label\n{tmp_path}/my cards/a/1.jpg,lion\n{tmp_path}/my cards/b/2.jpg,lion\n"
    assert refusal(listed, text).mend == f"--folder '{tmp_path}/my cards'"
    assert "the one that has them all" in refusal(listed, f"filepath,label\n{tmp_path}/1.jpg,lion\n/2.jpg,lion\n").mend


def test_a_table_none_of_whose_files_is_there_is_refused(listed):
    error = refusal(listed, "filepath,label\na.jpg,lion\nb.jpg,lion\n")
    assert "none of its 2 pictures is there" in error.what
    assert "--folder" in error.mend


@pytest.mark.parametrize(
    "text",
    [
        "filepath;label\na/1.jpg;lion\nb/2.jpg;lion, old\n",
        "sep=;\nfilepath;label\na/1.jpg;lion\nb/2.jpg;lion, old\n",
        '"sep=,"\r\nfilepath,label\r\na/1.jpg,lion\r\nb/2.jpg,"lion, old"\r\n',
        "filepath\tlabel\na/1.jpg\tlion\nb/2.jpg\tlion, old\n",
        'filepath,label\na\\1.jpg,lion\nb/2.jpg,"lion, old"\n',
        'filepath,label\nC:\\Users\\ann\\cards\\a\\1.jpg,lion\nC:\\Users\\ann\\cards\\b\\2.jpg,"lion, old"\n',
        'filepath,label\n\\\\nas\\cards\\a\\1.jpg,lion\n\\\\nas\\cards\\b\\2.jpg,"lion, old"\n',
        'filepath,label\n/home/ann/cards/a/1.jpg,lion\n/home/ann/cards/b/2.jpg,"lion, old"\n',
    ],
    ids=["semicolons", "sep=", "sep= commas", "tabs", "backslash", "Windows", "network", "another machine"],
)
def test_tables_of_other_programs_and_machines_are_understood(listed, text):
    rows, _ = listed(text, "a/1.jpg", "b/2.jpg")
    assert cells(rows, "image", "label") == [["pool/cards/a/1.jpg", "lion"], ["pool/cards/b/2.jpg", "lion, old"]]


def test_a_name_with_a_backslash_that_is_there_is_that_file(listed):
    rows, _ = listed("filepath,label\na\\1.jpg,lion\n", "a\\1.jpg", "a/1.jpg")
    assert cells(rows, "image") == [["pool/cards/a\\1.jpg"]]


@pytest.mark.parametrize(("written", "stored"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_composed_and_decomposed_names_are_one_file(listed, written, stored):
    name = unicodedata.normalize(stored, "Größe/ñandú.jpg")
    rows, _ = listed(f"filepath,label\n{unicodedata.normalize(written, name)},lion\n", name)
    assert cells(rows, "image") == [[f"pool/cards/{name}"]]


def test_a_path_may_lead_to_the_folder_through_a_link(listed, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    rows, _ = listed(f"filepath,label\n{tmp_path}/link/x/a.jpg,lion\n", "x/a.jpg")
    assert cells(rows, "image") == [["pool/cards/x/a.jpg"]]


@pytest.mark.parametrize("column", ["ground_truth.label", "ground_truth", "species.label"])
def test_fiftyones_table_is_known_by_its_label_column(listed, column):
    samples = '1,a.jpg,lion,"x,y",0.9\n2,HERE/b.jpg,Unknown,,\n3,c.jpg,,,\n'
    text = f"id,filepath,{column},tags,ground_truth.confidence\n{samples}"
    rows, _ = listed(text, "a.jpg")
    assert cells(rows, "image", "label", "status") == [
        ["pool/cards/a.jpg", "lion", "ok"],
        ["pool/cards/b.jpg", "", "unknown"],
    ]


def test_fiftyones_unlabelled_samples_are_counted(tmp_path):
    (tmp_path / "labels.csv").write_text("filepath,ground_truth.label\na.jpg,lion\nb.jpg,\nc.jpg,\n")
    found = exchange.read(tmp_path / "labels.csv", origin="real")
    assert (len(found.rows), found.unlabelled) == (1, 2)


@pytest.mark.parametrize("beside", [True, False])
def test_fiftyones_files_lie_in_its_folder_data_unless_they_lie_beside_the_table(tmp_path, beside):
    for path in [tmp_path / "data" / "a.jpg", *([tmp_path / "a.jpg"] if beside else [])]:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    (tmp_path / "labels.csv").write_text("filepath,ground_truth.label\na.jpg,lion\n")
    found = exchange.read(tmp_path / "labels.csv", origin="real")
    assert found.folder == (tmp_path if beside else tmp_path / "data")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("file,label\n", "column 'filepath' is missing"),
        ("filepath,species\n", "column 'label' is missing"),
        ("filepath,label\n", "names no labelled picture"),
        ("filepath,ground_truth.label\na.jpg,\n", "names no labelled picture"),
        ("filepath,ground_truth.label,predictions.label\na.jpg,lion,tapir\n", "ground_truth.label, predictions.label"),
        ("filepath,ground_truth\na.jpg,\"<Classification: {\n  'label': 'lion'}>\"\n", "holds whole labels, not names"),
        ("[1, 2", "not readable as JSON"),
        ('{"classes": ["lion"], "labels": {"a": 0}}', "not an export of Label Studio"),
        ("[]", "not an export of Label Studio"),
        ("[[]]", "not an export of Label Studio"),
        ('[{"image": "a.jpg"}]', "not an export of Label Studio"),
    ],
)
def test_a_file_of_no_known_kind_is_refused(listed, text, said):
    assert said in str(refusal(listed, text))


def task(number: int, image: str, label: str = "lion") -> dict:
    result = [{"from_name": "choice", "type": "choices", "value": {"choices": [label]}}]
    return {"id": number, "data": {"image": image}, "annotations": [{"result": result}]}


def test_a_label_studio_export_is_known_by_its_content(listed):
    rows, _ = listed("\ufeff\n" + json.dumps([task(7, "HERE/a b.jpg")]), "a b.jpg")
    assert cells(rows, "image", "label", "status", "origin") == [["pool/cards/a b.jpg", "lion", "ok", "real"]]


def test_a_file_outside_the_folder_is_named_with_its_task(listed):
    error = refusal(listed, json.dumps([task(7, "a.jpg"), task(9, "/elsewhere/b.jpg")]), "a.jpg")
    assert error.where.endswith("their file, task 9")


@pytest.mark.parametrize("folder", ["", "photos", "photos/cards", "photos/cards/night"])
def test_paths_of_label_studio_may_count_from_any_folder_above(listed, tmp_path, folder):
    names = ["cards/night/1/a.jpg", "cards/night/2/b.jpg"]
    prefix = "" if folder == "photos" else "photos/" if folder else str(tmp_path / "photos")[1:] + "/"
    served = [task(n, f"/data/local-files/?d={prefix}{name}") for n, name in enumerate(names)]
    rows, _ = listed(json.dumps(served), *names, folder=folder or ".")
    ours = [str(Path("photos", name).relative_to(folder or ".")) for name in names]
    assert cells(rows, "image") == [[f"pool/cards/{name}"] for name in ours]


def test_no_folder_that_tells_pictures_apart_is_dropped_from_a_path(listed):
    tasks = [task(1, "/data/upload/3/a.jpg"), task(2, "/data/upload/4/a.jpg")]
    assert "none of its 2 pictures" in refusal(listed, json.dumps(tasks), "a.jpg").what


def test_an_upload_to_label_studio_is_the_file_that_was_uploaded(listed):
    tasks = [task(1, "/data/upload/3/0a1b2c3d-IMG_0001.jpg"), task(2, "/data/upload/3/ffffffff-b.jpg")]
    rows, _ = listed(json.dumps(tasks), "IMG_0001.jpg", "ffffffff-b.jpg")
    assert cells(rows, "image") == [["pool/cards/IMG_0001.jpg"], ["pool/cards/ffffffff-b.jpg"]]


def test_pictures_on_which_people_differ_are_named_and_not_taken(listed):
    rows, conflicts = listed(json.dumps([task(1, "a.jpg"), task(2, "b.jpg"), task(3, "a.jpg", "tapir")]), "a.jpg")
    assert cells(rows, "image") == [["pool/cards/b.jpg"]]
    assert conflicts == ["pool/cards/a.jpg"]
