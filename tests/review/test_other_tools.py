"""The queue in other tools and back, in a workspace with real files of difficult names."""

import csv
import json
import os
import shutil
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from builders import library_table, sha

from pipeline import paths
from pipeline.errors import DataError, UsageError
from pipeline.files import digest, write_csv, write_json, write_table, write_text
from pipeline.library import label_studio, labels
from pipeline.review import decisions, labelling, link_folders, other_tools, recipes

ROOTS = "roots:\n  library: {library: library}\n  pool: {pool: a pool}\n"
NAMES = ["lion cub (2).jpg", "100% [x] & 'y', \"z\".jpg", "ünïcode.JPG", "deep/er/same.jpg", "other/same.jpg"]
NAMES_OF = {f"pool/{name}": name for name in NAMES}
AT = "2026-03-01T12:00:00"


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """A repository with a queue of five pool images, the least certain last."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    write_text(ROOTS, tmp_path / "configs/params.yaml")
    write_text("image,label\nlibrary/a.jpg,night/owl\n", tmp_path / paths.LABELS)
    for name in NAMES:
        write_text(f"picture {name}", Path("a pool", name))
    reindex()
    queued = pd.DataFrame({"image": list(NAMES_OF), "sha256": [digest(Path("a pool", n)) for n in NAMES]})
    queued = queued.assign(group=NAMES, rank=range(5), label=["lion", "lion", "tiger", "night/owl", "lion"])
    queued = queued.assign(score=[0.9, 0.8, 0.7, 0.6, 0.5], reason='the model sees "lion" or owl')
    for number, recipe in enumerate(recipes.RECIPES):
        write_table(queued[: 0 if number else 5], paths.QUEUE / f"{recipe.name}.parquet")
    write_json({"model": "m1"}, paths.PREDICTIONS / "summary.json")
    return tmp_path


def reindex() -> None:
    """As the stage does, of what the pool's folder holds now."""
    files = sorted(path for path in Path("a pool").rglob("*") if path.is_file())
    rows = [{"image": f"pool/{path.relative_to('a pool')}", "sha256": digest(path)} for path in files]
    write_table(library_table(*rows), paths.INDEX / "pool.parquet")
    write_table(library_table({"image": "library/a.jpg", "sha256": sha("a")}), paths.INDEX / "library.parquet")


def out(format_: str, path: str = "out") -> Path:
    other_tools.write(format_, Path(path), recipes=[])
    return Path(path)


def answer_all(format_: str, given: dict[str, str], path: str = "out") -> Path:
    """Writes the queue, and answers these images as a person does in that tool."""
    folder = out(format_, path)
    if format_ == "folders":
        listed = pd.read_csv(folder / "wallaby.csv").set_index("image")
        for image, answer in given.items():
            link = folder / listed.loc[image, "link"]
            inner = answer if answer.startswith("lion/") else answer.replace("/", "%2F")
            (folder / "decided" / inner).mkdir(parents=True, exist_ok=True)
            link.rename(folder / "decided" / inner / link.name)
        return folder
    if format_ == "fiftyone":
        rows = list(csv.DictReader((folder / "samples.csv").open(encoding="utf-8", newline="")))
        rows = [row | {"decision": given.get(row["image"], "")} for row in rows]
        with (folder / "answers.csv").open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
        return folder
    tasks = json.loads(folder.read_text())
    for number, task in enumerate(tasks):  # as its export is: numbers, annotations, and the predictions beside them
        task["id"] = number
        chosen = given.get(task["data"]["name"])
        result = {"from_name": "label", "to_name": "image", "type": "choices", "value": {"choices": [chosen]}}
        made = {"id": number, "completed_by": 1, "created_at": AT + "Z", "result": [result]}
        task["annotations"] = [made] if chosen else []
    folder.write_text(json.dumps(tasks))
    return folder


def take(path: Path, by: str = "ann") -> other_tools.Taken:
    return other_tools.take(path, other_tools.recognise(path), by=by, at=AT)


def said() -> dict[str, str]:
    found = decisions.read_all(paths.REVIEWS, ["library", "pool"])
    return {row.image: row.label or row.decision for row in found.itertuples()}


GIVEN = dict(zip(NAMES_OF, ["lion", "unknown", "bad", "night/owl", "tiger"], strict=True))


@pytest.mark.parametrize("format_", other_tools.FORMATS)
def test_answers_land_on_their_images_whatever_these_are_called(format_):
    taken = take(answer_all(format_, GIVEN))
    assert (taken.number, taken.missing) == (5, [])
    assert said() == GIVEN
    found = decisions.read_all(paths.REVIEWS, ["library", "pool"])
    assert found[["by", "model", "tool", "recipe"]].drop_duplicates().to_numpy().tolist() == [
        ["ann", "m1", format_, recipes.RECIPES[0].name]
    ]
    report = labelling.apply([], correct=False, dry_run=False)
    assert (report.applied.added, report.left) == (5, 0)


@pytest.mark.parametrize("format_", other_tools.FORMATS)
def test_what_came_back_unchanged_changes_nothing(format_):
    path = answer_all(format_, {})
    with pytest.raises(DataError, match=r"nobody has decided|no task has a choice"):
        take(path)
    assert not paths.REVIEWS.exists()


@pytest.mark.parametrize("format_", other_tools.FORMATS)
def test_a_picture_that_was_renamed_since_is_found_by_its_content_and_one_that_is_gone_is_named(format_):
    path = answer_all(format_, GIVEN)
    Path("a pool", NAMES[0]).rename(Path("a pool", NAMES[1]))  # under the name of another
    shutil.move(Path("a pool", NAMES[2]), Path("a pool", "moved.jpg"))
    reindex()
    taken = take(path)
    assert taken.missing == [f"pool/{NAMES[1]}"]
    stayed = {image: GIVEN[image] for image in list(NAMES_OF)[3:]}
    assert said() == stayed | {f"pool/{NAMES[1]}": "lion", "pool/moved.jpg": "bad"}


@pytest.mark.parametrize("format_", ["fiftyone", "folders"])
def test_a_sub_class_comes_back_beside_its_class(format_):
    taken = take(answer_all(format_, {f"pool/{NAMES[2]}": "lion/cub/old", f"pool/{NAMES[3]}": "night/owl"}))
    assert taken.number == 2
    labelling.apply([], correct=False, dry_run=False)
    rows = labels.read(paths.LABELS, ["library", "pool"]).set_index("image")
    assert rows.loc[f"pool/{NAMES[2]}", ["label", "subclass"]].tolist() == ["lion", "cub/old"]
    assert rows.loc[f"pool/{NAMES[3]}", ["label", "subclass"]].tolist() == ["night/owl", ""]


@pytest.mark.parametrize("format_", other_tools.FORMATS)
def test_who_says_the_class_again_leaves_the_sub_class_as_it_is(format_):
    image = f"pool/{NAMES[0]}"
    write_text(f'image,label,subclass\n"{image}",lion,cub\nlibrary/a.jpg,night/owl,\n', paths.LABELS)
    take(answer_all(format_, {image: "lion"}))
    labelling.apply([], correct=False, dry_run=False)
    assert labels.read(paths.LABELS, ["library", "pool"]).set_index("image").loc[image, "subclass"] == "cub"


def test_a_tag_that_begins_with_no_class_is_a_class_and_a_column_of_its_own_names_any_sub_class():
    path = answer_all("fiftyone", {f"pool/{NAMES[0]}": "sea/lion", f"pool/{NAMES[1]}": "puma"})
    table = pd.read_csv(path / "answers.csv", dtype="str", keep_default_na=False)
    table.loc[table["decision"] == "puma", "subclass"] = "cub"
    write_csv(table, path / "answers.csv")
    take(path)
    found = decisions.read_all(paths.REVIEWS, ["library", "pool"]).set_index("image")[["label", "subclass"]]
    assert found.loc[f"pool/{NAMES[0]}"].tolist() == ["sea/lion", ""]
    assert found.loc[f"pool/{NAMES[1]}"].tolist() == ["puma", "cub"]


def test_a_class_in_another_case_is_refused_before_a_sub_class_too():
    with pytest.raises(DataError, match="differ by case only"):
        take(answer_all("fiftyone", {f"pool/{NAMES[0]}": "Night/Owl/owlet"}))


def test_a_suggestion_s_folder_that_is_dragged_into_an_answer_s_is_that_answer():
    folder = out("folders")
    (folder / "suggested/lion").rename(folder / "decided/bad/lion")
    (folder / "suggested/tiger").rename(folder / "decided/tiger/tiger")
    take(folder)
    assert said() == {f"pool/{NAMES[place]}": "bad" for place in (0, 1, 4)} | {f"pool/{NAMES[2]}": "tiger"}
    assert not decisions.read_all(paths.REVIEWS, ["library", "pool"])["subclass"].any()


def test_a_picture_in_the_folders_of_two_answers_is_refused():
    folder = answer_all("folders", {f"pool/{NAMES[2]}": "night/owl"})
    (folder / "decided/night%2Fowl").rename(folder / "decided/lion/night%2Fowl")
    (folder / "decided/night%2Fowl").mkdir()
    with pytest.raises(DataError, match="in the folders of two answers: decided/lion/night%2Fowl"):
        take(folder)


def test_two_tools_answers_that_differ_become_conflicts_and_equal_ones_do_not():
    first, second = list(NAMES_OF)[:2]
    take(answer_all("folders", {first: "lion", second: "lion"}, "one"))
    take(answer_all("fiftyone", {first: "tiger", second: "lion"}, "two"))
    applied = labelling.apply([], correct=False, dry_run=False).applied
    assert applied.conflicts["image"].unique().tolist() == [first]
    assert applied.conflicts["tool"].tolist() == ["fiftyone", "folders"]
    assert applied.added == 1


def test_the_least_certain_comes_first_with_what_the_model_said():
    tasks = json.loads(out("label-studio", "tasks.json").read_text())
    assert [task["data"]["name"] for task in tasks] == list(NAMES_OF)[::-1]
    prediction = tasks[0]["predictions"][0]
    assert (prediction["score"], prediction["model_version"]) == (0.5, "m1")
    assert prediction["result"][0]["value"] == {"choices": ["lion"]}
    assert 'value="night/owl"' in Path("tasks.xml").read_text()


def test_label_studio_s_paths_count_from_the_folder_that_holds_all_roots(tmp_path):
    tasks = json.loads(out("label-studio", "tasks.json").read_text())
    files = [unquote(task["data"]["image"].removeprefix("/data/local-files/?d=")) for task in tasks]
    assert sorted(files) == sorted(f"a pool/{name}" for name in NAMES)
    assert all((tmp_path / file).is_file() for file in files)


def test_each_annotator_of_label_studio_is_a_reviewer():
    path = answer_all("label-studio", {"pool/lion cub (2).jpg": "lion"}, "tasks.json")
    tasks = json.loads(path.read_text())
    task = next(task for task in tasks if task["annotations"])
    other = json.loads(json.dumps(task["annotations"][0])) | {"completed_by": {"email": "bob@x.org"}}
    other["result"][0]["value"]["choices"] = ["tiger"]
    task["annotations"].append(other)
    path.write_text(json.dumps(tasks))
    take(path, by="")
    applied = labelling.apply([], correct=False, dry_run=True).applied
    assert applied.conflicts[["by", "label"]].to_numpy().tolist() == [["1", "lion"], ["bob@x.org", "tiger"]]


MANY = 2000


def test_one_annotation_that_answers_an_image_2000_times_is_refused_with_its_task():
    path = answer_all("label-studio", {"pool/lion cub (2).jpg": "lion"}, "tasks.json")
    tasks = json.loads(path.read_text())
    task = next(task for task in tasks if task["annotations"])
    task["annotations"][0]["result"] *= MANY
    path.write_text(json.dumps(tasks))
    with pytest.raises(DataError) as refused:
        take(path)
    assert refused.value.what == "an image has 2000 answers of ann at once: pool/lion cub (2).jpg"
    assert refused.value.where == f"{path}, task {task['id']}"
    assert not paths.REVIEWS.exists()


def test_two_thousand_rows_that_name_one_image_are_refused_with_the_second():
    folder = answer_all("fiftyone", {"pool/100% [x] & 'y', \"z\".jpg": "lion"})
    table = pd.read_csv(folder / "answers.csv", dtype=str, keep_default_na=False)
    again = table[table["decision"] != ""]
    write_csv(pd.concat([table, *[again] * (MANY - 1)]), folder / "answers.csv")
    with pytest.raises(DataError) as refused:
        take(folder)
    assert refused.value.what.startswith("an image has 2000 answers of ann at once: pool/100%")
    assert refused.value.where.endswith(f"row {len(table) + 2}")
    assert not paths.REVIEWS.exists()


@pytest.mark.parametrize(("format_", "table"), [("fiftyone", "answers.csv"), ("folders", "wallaby.csv")])
def test_a_content_hash_that_a_spreadsheet_changed_is_refused_with_its_row(format_, table):
    folder = answer_all(format_, GIVEN)
    path = folder / table
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows.loc[1, "sha256"] = "1.23E+63"
    write_csv(rows, path)
    with pytest.raises(DataError, match="not a content hash") as refused:
        take(folder)
    assert refused.value.where.endswith(f"{table}, row 3")


def test_an_answer_from_the_future_is_refused_with_its_task():
    path = answer_all("label-studio", GIVEN, "tasks.json")
    path.write_text(path.read_text().replace(AT, "9999-03-01T12:00:00"))
    with pytest.raises(DataError, match="in the future") as refused:
        take(path)
    assert refused.value.where == f"{path}, task 0"


@pytest.mark.parametrize("format_", other_tools.FORMATS)
@pytest.mark.parametrize("word", ["no", "Label", "undo"])
def test_another_word_of_the_decisions_is_no_class(format_, word):
    path = answer_all(format_, {"pool/lion cub (2).jpg": word}, "out.json" if format_ == "label-studio" else "out")
    with pytest.raises(DataError, match=f"'{word}' is a word of the reviews"):
        take(path)


def test_an_export_taken_twice_is_taken_once():
    path = answer_all("label-studio", GIVEN, "tasks.json")
    take(path)
    take(path)
    assert len(decisions.read_all(paths.REVIEWS, ["library", "pool"])) == 5


def test_a_whole_folder_may_be_dragged_and_a_copy_is_known_by_its_content():
    folder = out("folders")
    shutil.rmtree(folder / "decided/lion")
    (folder / "suggested/lion").rename(folder / "decided/lion")
    (folder / "suggested/night%2Fowl").rename(folder / "suggested/elsewhere")
    tiger = next((folder / "suggested/tiger").iterdir())
    (folder / "decided/puma").mkdir()
    shutil.copyfile(tiger, folder / "decided/puma/copy of it.jpg")
    take(folder)
    lions = {f"pool/{NAMES[place]}": "lion" for place in (0, 1, 4)}
    assert said() == lions | {f"pool/{NAMES[3]}": "elsewhere", f"pool/{NAMES[2]}": "puma"}


def test_a_picture_dragged_to_another_suggestion_is_decided():
    folder = out("folders")
    tiger = next((folder / "suggested/tiger").iterdir())
    tiger.rename(folder / "suggested/lion" / tiger.name)
    take(folder)
    assert said() == {f"pool/{NAMES[2]}": "lion"}


def test_where_a_link_leads_to_another_picture_now_nobody_knows_which_was_decided():
    folder = answer_all("folders", {f"pool/{NAMES[0]}": "lion"})
    write_text("quite another picture", Path("a pool", NAMES[0]))
    assert take(folder) == other_tools.Taken(None, 0, [f"pool/{NAMES[0]}"])


def test_a_stranger_in_the_folders_is_refused():
    folder = out("folders")
    write_text("no such picture", folder / "decided/lion/stranger.jpg")
    with pytest.raises(DataError, match=r"not a picture of this queue: decided/lion/stranger\.jpg"):
        take(folder)


def test_one_recipe_may_be_written_alone_and_a_misspelt_one_is_refused():
    other = recipes.RECIPES[1].name
    assert other_tools.write("fiftyone", Path("alone"), recipes=[other])[0] == 0
    with pytest.raises(UsageError) as refused:
        other_tools.write("fiftyone", Path("x"), recipes=[other + "s"])
    assert refused.value.mend == f"did you mean '{other}'?"


@pytest.mark.parametrize("format_", other_tools.FORMATS)
def test_what_may_hold_answers_is_not_written_over(format_):
    out(format_)
    with pytest.raises(UsageError, match="may hold answers"):
        out(format_)


def test_a_class_that_differs_by_case_only_is_refused_and_nothing_is_written():
    with pytest.raises(DataError, match="differ by case only"):
        take(answer_all("fiftyone", {"pool/ünïcode.JPG": "Night/Owl"}))
    assert not paths.REVIEWS.exists()


def test_an_export_of_pictures_that_were_never_written_is_refused():
    result = {"from_name": "label", "value": {"choices": ["lion"]}}
    task = {"id": 7, "data": {"image": "/data/local-files/?d=x.jpg"}, "annotations": [{"result": [result]}]}
    write_json([task], Path("foreign.json"))
    with pytest.raises(DataError, match="this project did not write") as refused:
        take(Path("foreign.json"))
    assert refused.value.where == "foreign.json, task 7"


@pytest.mark.parametrize(
    ("text", "what"),
    [("{}", "not an export of Label Studio"), ("[{", "not readable as JSON"), ("filepath,label\nx,y\n", "is missing")],
)
def test_a_file_that_is_no_answer_is_refused(text, what):
    write_text(text, Path("file"))
    with pytest.raises(DataError, match=what):
        take(Path("file"))


def test_a_folder_or_file_that_is_not_there_is_refused():
    Path("empty").mkdir()
    for path, what in ((Path("empty"), "a folder without answers"), (Path("none"), "does not exist")):
        with pytest.raises(DataError, match=what):
            other_tools.recognise(path)


def test_the_loader_of_fiftyone_is_ten_lines_of_python():
    folder = out("fiftyone")
    source = (folder / "load.py").read_text()
    compile(source, "load.py", "exec")
    lines = [line for line in source.splitlines() if line and not line.startswith((" ", '"', "import"))]
    assert len(lines) <= 10


def test_links_lead_to_the_pictures_and_no_picture_is_touched():
    before = {path: os.stat(path).st_mtime_ns for path in Path("a pool").rglob("*")}
    folder = answer_all("folders", GIVEN)
    take(folder)
    assert {path: os.stat(path).st_mtime_ns for path in Path("a pool").rglob("*")} == before
    assert not link_folders.read(folder).empty


def test_the_choices_of_label_studio_come_back_from_its_small_export_too():
    path = answer_all("label-studio", GIVEN, "tasks.json")
    small = [
        task["data"] | {"id": task["id"], "label": task["annotations"][0]["result"][0]["value"]["choices"][0],
                        "annotator": 1, "annotation_id": task["id"], "created_at": AT + "Z"}
        for task in json.loads(path.read_text())
    ]  # fmt: skip
    write_json(small, Path("min.json"))
    assert set(label_studio.answers(Path("min.json"))["image_id"]) == set(label_studio.answers(path)["image_id"])
    take(Path("min.json"))
    assert said() == GIVEN


def test_a_sheet_is_no_other_tool_s():
    write_csv(pd.DataFrame({"decision": [""], "image": ["a"]}), Path("sheet.csv"))
    assert other_tools.recognise(Path("sheet.csv")) == ""


@pytest.mark.parametrize("format_", other_tools.FORMATS)
def test_a_picture_that_was_replaced_under_its_name_is_refused_by_name_though_the_index_is_older(format_):
    path = answer_all(format_, GIVEN)
    write_text("another picture", Path("a pool", NAMES[0]))
    taken = take(path)
    assert (taken.number, taken.missing) == (4, [f"pool/{NAMES[0]}"])
    write_text("yet another picture", Path("a pool", NAMES[1]))  # between the decision and `apply`
    report = labelling.apply([], correct=False, dry_run=False)
    assert report.applied.other_content == [f"pool/{NAMES[1]}"]
    rows = labels.read(paths.LABELS, ["library", "pool"]).set_index("image")
    assert not {f"pool/{NAMES[0]}", f"pool/{NAMES[1]}"} & set(rows.index)
