"""The queue in other tools and back, in a repository with real files of difficult names."""

import csv
import json
import os
import shutil
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest

from pipeline.commands import apply, review
from pipeline.errors import DataError, UsageError
from pipeline.files import digest, write_csv, write_json, write_table, write_text
from pipeline.library import label_studio, labels
from pipeline.review import decisions, link_folders, other_tools, recipes
from pipeline.workspace import Workspace
from tests.library.builders import library_table, sha

ROOTS = "roots:\n  library: {library: library}\n  pool: {pool: a pool}\n"
NAMES = ["lion cub (2).jpg", "100% [x] & 'y', \"z\".jpg", "ünïcode.JPG", "deep/er/same.jpg", "other/same.jpg"]
NAMES_OF = {f"pool/{name}": name for name in NAMES}
AT = "2026-03-01T12:00:00"


class Repository(Workspace):
    """One labelled image, and a queue of five pool images, the least certain last."""

    def __init__(self, root: Path):
        super().__init__(root)
        self.pool = root / "a pool"
        write_text(ROOTS, self.params_file)
        write_text("image,label\nlibrary/a.jpg,night/owl\n", self.labels)
        for name in NAMES:
            write_text(f"picture {name}", self.pool / name)
        self.reindex()
        queued = pd.DataFrame({"image": list(NAMES_OF), "sha256": [digest(self.pool / name) for name in NAMES]})
        queued = queued.assign(group=NAMES, rank=range(5), label=["lion", "lion", "tiger", "night/owl", "lion"])
        queued = queued.assign(score=[0.9, 0.8, 0.7, 0.6, 0.5], reason='the model sees "lion" or owl')
        for number, recipe in enumerate(recipes.RECIPES):
            write_table(queued[: 0 if number else 5], self.queue / f"{recipe.name}.parquet")
        write_json({"model": "m1"}, self.predictions / "summary.json")

    def reindex(self) -> None:
        """As the stage does, of what the pool's folder holds now."""
        files = sorted(path for path in self.pool.rglob("*") if path.is_file())
        rows = [{"image": f"pool/{path.relative_to(self.pool)}", "sha256": digest(path)} for path in files]
        write_table(library_table(*rows), self.index / "pool.parquet")
        write_table(library_table({"image": "library/a.jpg", "sha256": sha("a")}), self.index / "library.parquet")

    def out(self, format_: str, name: str = "out") -> Path:
        review.write_out(self, format_, self.root / name)
        return self.root / name

    def answer_all(self, format_: str, given: dict[str, str], name: str = "out") -> Path:
        """Writes the queue, and answers these images as a person does in that tool."""
        folder = self.out(format_, name)
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

    def take(self, path: Path, by: str = "ann") -> dict:
        return review.take(self, path, queue=self.queue, by=by, at=AT).data

    def apply(self, **options) -> apply.Report:
        return apply.apply(self, **options).data

    def log(self) -> pd.DataFrame:
        return decisions.read_all(self.reviews, ["library", "pool"])

    def decided(self) -> dict[str, str]:
        return {row.image: row.label or row.decision for row in self.log().itertuples()}

    def table(self) -> pd.DataFrame:
        return labels.read(self.labels, ["library", "pool"]).set_index("image")


@pytest.fixture
def repo(tmp_path):
    return Repository(tmp_path)


GIVEN = dict(zip(NAMES_OF, ["lion", "unknown", "bad", "night/owl", "tiger"], strict=True))


@pytest.mark.parametrize("format_", other_tools.FORMATS)
def test_answers_land_on_their_images_whatever_these_are_called(repo, format_):
    taken = repo.take(repo.answer_all(format_, GIVEN))
    assert (taken["decisions"], taken["missing"]) == (5, [])
    assert repo.decided() == GIVEN
    found = repo.log()
    assert found[["by", "model", "tool", "recipe"]].drop_duplicates().to_numpy().tolist() == [
        ["ann", "m1", format_, recipes.RECIPES[0].name]
    ]
    report = repo.apply()
    assert (report.applied.added, report.left) == (5, 0)


@pytest.mark.parametrize("format_", other_tools.FORMATS)
def test_what_came_back_unchanged_changes_nothing(repo, format_):
    path = repo.answer_all(format_, {})
    with pytest.raises(DataError, match=r"nobody has decided|no task has a choice"):
        repo.take(path)
    assert not repo.reviews.exists()


@pytest.mark.parametrize("format_", other_tools.FORMATS)
def test_a_picture_that_was_renamed_since_is_found_by_its_content_and_one_that_is_gone_is_named(repo, format_):
    path = repo.answer_all(format_, GIVEN)
    (repo.pool / NAMES[0]).rename(repo.pool / NAMES[1])  # under the name of another
    shutil.move((repo.pool / NAMES[2]), (repo.pool / "moved.jpg"))
    repo.reindex()
    taken = repo.take(path)
    assert taken["missing"] == [f"pool/{NAMES[1]}"]
    stayed = {image: GIVEN[image] for image in list(NAMES_OF)[3:]}
    assert repo.decided() == stayed | {f"pool/{NAMES[1]}": "lion", "pool/moved.jpg": "bad"}


@pytest.mark.parametrize("format_", ["fiftyone", "folders"])
def test_a_sub_class_comes_back_beside_its_class(repo, format_):
    taken = repo.take(repo.answer_all(format_, {f"pool/{NAMES[2]}": "lion/cub/old", f"pool/{NAMES[3]}": "night/owl"}))
    assert taken["decisions"] == 2
    repo.apply()
    rows = repo.table()
    assert rows.loc[f"pool/{NAMES[2]}", ["label", "subclass"]].tolist() == ["lion", "cub/old"]
    assert rows.loc[f"pool/{NAMES[3]}", ["label", "subclass"]].tolist() == ["night/owl", ""]


@pytest.mark.parametrize("format_", other_tools.FORMATS)
def test_who_says_the_class_again_leaves_the_sub_class_as_it_is(repo, format_):
    image = f"pool/{NAMES[0]}"
    write_text(f'image,label,subclass\n"{image}",lion,cub\nlibrary/a.jpg,night/owl,\n', repo.labels)
    repo.take(repo.answer_all(format_, {image: "lion"}))
    repo.apply()
    assert repo.table().loc[image, "subclass"] == "cub"


def test_a_tag_that_begins_with_no_class_is_a_class_and_a_column_of_its_own_names_any_sub_class(repo):
    path = repo.answer_all("fiftyone", {f"pool/{NAMES[0]}": "sea/lion", f"pool/{NAMES[1]}": "puma"})
    table = pd.read_csv(path / "answers.csv", dtype="str", keep_default_na=False)
    table.loc[table["decision"] == "puma", "subclass"] = "cub"
    write_csv(table, path / "answers.csv")
    repo.take(path)
    found = repo.log().set_index("image")[["label", "subclass"]]
    assert found.loc[f"pool/{NAMES[0]}"].tolist() == ["sea/lion", ""]
    assert found.loc[f"pool/{NAMES[1]}"].tolist() == ["puma", "cub"]


def test_a_class_in_another_case_is_refused_before_a_sub_class_too(repo):
    with pytest.raises(DataError, match="differ by case only"):
        repo.take(repo.answer_all("fiftyone", {f"pool/{NAMES[0]}": "Night/Owl/owlet"}))


def test_a_suggestion_s_folder_that_is_dragged_into_an_answer_s_is_that_answer(repo):
    folder = repo.out("folders")
    (folder / "suggested/lion").rename(folder / "decided/bad/lion")
    (folder / "suggested/tiger").rename(folder / "decided/tiger/tiger")
    repo.take(folder)
    assert repo.decided() == {f"pool/{NAMES[place]}": "bad" for place in (0, 1, 4)} | {f"pool/{NAMES[2]}": "tiger"}
    assert not repo.log()["subclass"].any()


def test_a_picture_in_the_folders_of_two_answers_is_refused(repo):
    folder = repo.answer_all("folders", {f"pool/{NAMES[2]}": "night/owl"})
    (folder / "decided/night%2Fowl").rename(folder / "decided/lion/night%2Fowl")
    (folder / "decided/night%2Fowl").mkdir()
    with pytest.raises(DataError, match="in the folders of two answers: decided/lion/night%2Fowl"):
        repo.take(folder)


def test_two_tools_answers_that_differ_become_conflicts_and_equal_ones_do_not(repo):
    first, second = list(NAMES_OF)[:2]
    repo.take(repo.answer_all("folders", {first: "lion", second: "lion"}, "one"))
    repo.take(repo.answer_all("fiftyone", {first: "tiger", second: "lion"}, "two"))
    applied = repo.apply().applied
    assert applied.conflicts["image"].unique().tolist() == [first]
    assert applied.conflicts["tool"].tolist() == ["fiftyone", "folders"]
    assert applied.added == 1


def test_the_least_certain_comes_first_with_what_the_model_said(repo):
    tasks = json.loads(repo.out("label-studio", "tasks.json").read_text())
    assert [task["data"]["name"] for task in tasks] == list(NAMES_OF)[::-1]
    prediction = tasks[0]["predictions"][0]
    assert (prediction["score"], prediction["model_version"]) == (0.5, "m1")
    assert prediction["result"][0]["value"] == {"choices": ["lion"]}
    assert 'value="night/owl"' in (repo.root / "tasks.xml").read_text()


def test_label_studio_s_paths_count_from_the_folder_that_holds_all_roots(repo, tmp_path):
    tasks = json.loads(repo.out("label-studio", "tasks.json").read_text())
    files = [unquote(task["data"]["image"].removeprefix("/data/local-files/?d=")) for task in tasks]
    assert sorted(files) == sorted(f"a pool/{name}" for name in NAMES)
    assert all((tmp_path / file).is_file() for file in files)


def test_each_annotator_of_label_studio_is_a_reviewer(repo):
    path = repo.answer_all("label-studio", {"pool/lion cub (2).jpg": "lion"}, "tasks.json")
    tasks = json.loads(path.read_text())
    task = next(task for task in tasks if task["annotations"])
    other = json.loads(json.dumps(task["annotations"][0])) | {"completed_by": {"email": "bob@x.org"}}
    other["result"][0]["value"]["choices"] = ["tiger"]
    task["annotations"].append(other)
    path.write_text(json.dumps(tasks))
    repo.take(path, by="")
    applied = repo.apply(dry_run=True).applied
    assert applied.conflicts[["by", "label"]].to_numpy().tolist() == [["1", "lion"], ["bob@x.org", "tiger"]]


MANY = 2000


def test_one_annotation_that_answers_an_image_2000_times_is_refused_with_its_task(repo):
    path = repo.answer_all("label-studio", {"pool/lion cub (2).jpg": "lion"}, "tasks.json")
    tasks = json.loads(path.read_text())
    task = next(task for task in tasks if task["annotations"])
    task["annotations"][0]["result"] *= MANY
    path.write_text(json.dumps(tasks))
    with pytest.raises(DataError) as refused:
        repo.take(path)
    assert refused.value.what == "an image has 2000 answers of ann at once: pool/lion cub (2).jpg"
    assert refused.value.where == f"{path}, task {task['id']}"
    assert not repo.reviews.exists()


def test_two_thousand_rows_that_name_one_image_are_refused_with_the_second(repo):
    folder = repo.answer_all("fiftyone", {"pool/100% [x] & 'y', \"z\".jpg": "lion"})
    table = pd.read_csv(folder / "answers.csv", dtype=str, keep_default_na=False)
    again = table[table["decision"] != ""]
    write_csv(pd.concat([table, *[again] * (MANY - 1)]), folder / "answers.csv")
    with pytest.raises(DataError) as refused:
        repo.take(folder)
    assert refused.value.what.startswith("an image has 2000 answers of ann at once: pool/100%")
    assert refused.value.where.endswith(f"row {len(table) + 2}")
    assert not repo.reviews.exists()


@pytest.mark.parametrize(("format_", "table"), [("fiftyone", "answers.csv"), ("folders", "wallaby.csv")])
def test_a_content_hash_that_a_spreadsheet_changed_is_refused_with_its_row(repo, format_, table):
    folder = repo.answer_all(format_, GIVEN)
    path = folder / table
    rows = pd.read_csv(path, dtype=str, keep_default_na=False)
    rows.loc[1, "sha256"] = "1.23E+63"
    write_csv(rows, path)
    with pytest.raises(DataError, match="not a content hash") as refused:
        repo.take(folder)
    assert refused.value.where.endswith(f"{table}, row 3")


def test_an_answer_from_the_future_is_refused_with_its_task(repo):
    path = repo.answer_all("label-studio", GIVEN, "tasks.json")
    path.write_text(path.read_text().replace(AT, "9999-03-01T12:00:00"))
    with pytest.raises(DataError, match="in the future") as refused:
        repo.take(path)
    assert refused.value.where == f"{path}, task 0"


@pytest.mark.parametrize("format_", other_tools.FORMATS)
@pytest.mark.parametrize("word", ["no", "Label", "undo"])
def test_another_word_of_the_decisions_is_no_class(repo, format_, word):
    path = repo.answer_all(format_, {"pool/lion cub (2).jpg": word}, "out.json" if format_ == "label-studio" else "out")
    with pytest.raises(DataError, match=f"'{word}' is a word of the reviews"):
        repo.take(path)


def test_an_export_taken_twice_is_taken_once(repo):
    path = repo.answer_all("label-studio", GIVEN, "tasks.json")
    repo.take(path)
    repo.take(path)
    assert len(repo.log()) == 5


def test_a_whole_folder_may_be_dragged_and_a_copy_is_known_by_its_content(repo):
    folder = repo.out("folders")
    shutil.rmtree(folder / "decided/lion")
    (folder / "suggested/lion").rename(folder / "decided/lion")
    (folder / "suggested/night%2Fowl").rename(folder / "suggested/elsewhere")
    tiger = next((folder / "suggested/tiger").iterdir())
    (folder / "decided/puma").mkdir()
    shutil.copyfile(tiger, folder / "decided/puma/copy of it.jpg")
    repo.take(folder)
    lions = {f"pool/{NAMES[place]}": "lion" for place in (0, 1, 4)}
    assert repo.decided() == lions | {f"pool/{NAMES[3]}": "elsewhere", f"pool/{NAMES[2]}": "puma"}


def test_a_picture_dragged_to_another_suggestion_is_decided(repo):
    folder = repo.out("folders")
    tiger = next((folder / "suggested/tiger").iterdir())
    tiger.rename(folder / "suggested/lion" / tiger.name)
    repo.take(folder)
    assert repo.decided() == {f"pool/{NAMES[2]}": "lion"}


def test_where_a_link_leads_to_another_picture_now_nobody_knows_which_was_decided(repo):
    folder = repo.answer_all("folders", {f"pool/{NAMES[0]}": "lion"})
    write_text("quite another picture", (repo.pool / NAMES[0]))
    assert repo.take(folder) == {"decisions": 0, "file": None, "missing": [f"pool/{NAMES[0]}"]}


def test_a_stranger_in_the_folders_is_refused(repo):
    folder = repo.out("folders")
    write_text("no such picture", folder / "decided/lion/stranger.jpg")
    with pytest.raises(DataError, match=r"not a picture of this queue: decided/lion/stranger\.jpg"):
        repo.take(folder)


def test_one_recipe_may_be_written_alone_and_a_misspelt_one_is_refused(repo):
    other = recipes.RECIPES[1].name
    assert review.write_out(repo, "fiftyone", repo.root / "alone", recipes=[other]).data["images"] == 0
    with pytest.raises(UsageError) as refused:
        review.write_out(repo, "fiftyone", repo.root / "x", recipes=[other + "s"])
    assert refused.value.mend == f"did you mean '{other}'?"


@pytest.mark.parametrize("format_", other_tools.FORMATS)
def test_what_may_hold_answers_is_not_written_over(repo, format_):
    repo.out(format_)
    with pytest.raises(UsageError, match="may hold answers"):
        repo.out(format_)


def test_a_class_that_differs_by_case_only_is_refused_and_nothing_is_written(repo):
    with pytest.raises(DataError, match="differ by case only"):
        repo.take(repo.answer_all("fiftyone", {"pool/ünïcode.JPG": "Night/Owl"}))
    assert not repo.reviews.exists()


def test_an_export_of_pictures_that_were_never_written_is_refused(repo):
    result = {"from_name": "label", "value": {"choices": ["lion"]}}
    task = {"id": 7, "data": {"image": "/data/local-files/?d=x.jpg"}, "annotations": [{"result": [result]}]}
    write_json([task], (repo.root / "foreign.json"))
    with pytest.raises(DataError, match="this project did not write") as refused:
        repo.take(repo.root / "foreign.json")
    assert refused.value.where.endswith("foreign.json, task 7")


@pytest.mark.parametrize(
    ("text", "what"),
    [("{}", "not an export of Label Studio"), ("[{", "not readable as JSON"), ("filepath,label\nx,y\n", "is missing")],
)
def test_a_file_that_is_no_answer_is_refused(repo, text, what):
    write_text(text, (repo.root / "file"))
    with pytest.raises(DataError, match=what):
        repo.take(repo.root / "file")


def test_a_folder_or_file_that_is_not_there_is_refused(repo):
    (repo.root / "empty").mkdir()
    for path, what in (((repo.root / "empty"), "a folder without answers"), ((repo.root / "none"), "does not exist")):
        with pytest.raises(DataError, match=what):
            other_tools.recognise(path)


def test_the_loader_of_fiftyone_is_ten_lines_of_python(repo):
    folder = repo.out("fiftyone")
    source = (folder / "load.py").read_text()
    compile(source, "load.py", "exec")
    lines = [line for line in source.splitlines() if line and not line.startswith((" ", '"', "import"))]
    assert len(lines) <= 10


def test_links_lead_to_the_pictures_and_no_picture_is_touched(repo):
    before = {path: os.stat(path).st_mtime_ns for path in repo.pool.rglob("*")}
    folder = repo.answer_all("folders", GIVEN)
    repo.take(folder)
    assert {path: os.stat(path).st_mtime_ns for path in repo.pool.rglob("*")} == before
    assert not link_folders.read(folder).empty


def test_the_choices_of_label_studio_come_back_from_its_small_export_too(repo):
    path = repo.answer_all("label-studio", GIVEN, "tasks.json")
    small = [
        task["data"] | {"id": task["id"], "label": task["annotations"][0]["result"][0]["value"]["choices"][0],
                        "annotator": 1, "annotation_id": task["id"], "created_at": AT + "Z"}
        for task in json.loads(path.read_text())
    ]  # fmt: skip
    write_json(small, (repo.root / "min.json"))
    assert set(label_studio.answers(repo.root / "min.json")["image_id"]) == set(label_studio.answers(path)["image_id"])
    repo.take(repo.root / "min.json")
    assert repo.decided() == GIVEN


def test_a_sheet_is_no_other_tool_s(repo):
    write_csv(pd.DataFrame({"decision": [""], "image": ["a"]}), (repo.root / "sheet.csv"))
    assert other_tools.recognise(repo.root / "sheet.csv") == ""


@pytest.mark.parametrize("format_", other_tools.FORMATS)
def test_a_picture_that_was_replaced_under_its_name_is_refused_by_name_though_the_index_is_older(repo, format_):
    path = repo.answer_all(format_, GIVEN)
    write_text("another picture", (repo.pool / NAMES[0]))
    taken = repo.take(path)
    assert (taken["decisions"], taken["missing"]) == (4, [f"pool/{NAMES[0]}"])
    write_text("yet another picture", (repo.pool / NAMES[1]))  # between the decision and `apply`
    report = repo.apply()
    assert report.applied.other_content == [f"pool/{NAMES[1]}"]
    rows = repo.table()
    assert not {f"pool/{NAMES[0]}", f"pool/{NAMES[1]}"} & set(rows.index)
