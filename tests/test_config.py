import re
from pathlib import Path

import pytest

from pipeline import config, sections
from pipeline.errors import UsageError, closest

REAL = Path(__file__).parents[1] / "configs" / "params.yaml"


@pytest.fixture
def params(tmp_path):
    """Writes the project's own params with one line changed, found by its key; returns the file."""

    def write(key: str = "", line: str = "") -> Path:
        text = REAL.read_text(encoding="utf-8")
        if key:
            text, changed = re.subn(rf"^( *){key}\b.*$", lambda found: found[1] + line, text, count=1, flags=re.M)
            assert changed, key
        (tmp_path / "params.yaml").write_text(text, encoding="utf-8")
        return tmp_path / "params.yaml"

    return write


def refusal(section, path) -> str:
    with pytest.raises(UsageError) as refused:
        config.load(section, path)
    assert str(path) in str(refused.value)
    assert len(str(refused.value).splitlines()) <= 3
    return str(refused.value)


@pytest.mark.parametrize("section", [s for s in sections.Section.__subclasses__() if s is not sections.Preset])
def test_each_section_of_the_projects_own_params_is_valid(section):
    config.load(section, REAL)


def test_an_unknown_key_offers_the_closest(params):
    said = refusal(sections.Curate, params("min_images", "min_image: 40"))
    assert "unknown key 'min_image'" in said
    assert "did you mean 'min_images'?" in said


def test_an_unknown_section_offers_the_closest(params):
    said = refusal(sections.Split, params("curate", "curat:"))
    assert "unknown section 'curat'" in said
    assert "did you mean 'curate'?" in said


def test_a_section_with_a_number_for_a_name_is_refused(params):
    assert "unknown section '7'" in refusal(sections.Split, params("curate", "7:"))


def test_a_missing_key_is_named(params):
    assert "key 'salt' is missing" in refusal(sections.Split, params("salt"))


def test_a_missing_section_is_named(params):
    path = params()
    path.write_text(re.sub(r"(?s)\ngate:.*?\n\n", "\n", path.read_text(encoding="utf-8")), encoding="utf-8")
    assert "section 'gate' is missing" in refusal(sections.Gate, path)


def test_an_empty_section_misses_its_keys(params):
    assert "key 'max_megapixels' is missing" in refusal(sections.Index, params("max_megapixels"))


@pytest.mark.parametrize(
    ("section", "key", "line", "said"),
    [
        (sections.Curate, "min_images", "min_images: 2", "min_images is 2"),
        (sections.Curate, "near_duplicate_distance", "near_duplicate_distance: 17", "near_duplicate_distance is 17"),
        (sections.Curate, "min_images", "min_images: many", "min_images is 'many'"),
        (sections.Curate, "min_images", "min_images: 40.5", "min_images is 40.5"),
        (sections.Split, "val", "val: 0", "val is 0"),
        (sections.Split, "test", "test: 15", "test is 15"),
        (sections.Train, "learning_rate", "learning_rate: .nan", "learning_rate is nan"),
        (sections.Train, "min_delta", "min_delta: .inf", "min_delta is inf"),
        (sections.Train, "flip", "flip: maybe", "flip is 'maybe'"),
        (sections.Index, "max_megapixels", "max_megapixels: [1]", "max_megapixels is [1]"),
    ],
)
def test_a_value_out_of_range_is_named_with_its_key(params, section, key, line, said):
    assert said in refusal(section, params(key, line))


def test_a_learning_rate_may_be_written_as_one_writes_it(params):
    path = params("learning_rate", "learning_rate: 1e-3")  # to YAML 1.1 this is a word
    assert config.load(sections.Train, path).learning_rate == 0.001


def test_an_upper_cutoff_below_the_lower_one_is_refused(params):
    lower = config.load(sections.Curate, REAL).min_images
    said = refusal(sections.Curate, params("max_images", f"max_images: {lower - 1}"))
    assert f"max_images {lower - 1} is below min_images {lower}" in said
    assert config.load(sections.Curate, params("max_images", f"max_images: {lower}")).max_images == lower


def test_val_and_test_must_leave_something_to_train_on(params):
    assert "at most 0.9" in refusal(sections.Split, params("val", "val: 0.89"))


@pytest.mark.parametrize("text", ["", "just words", "- a\n- list\n"])
def test_a_file_without_sections_is_refused(tmp_path, text):
    (tmp_path / "params.yaml").write_text(text)
    assert "no sections" in refusal(sections.Split, tmp_path / "params.yaml")


def test_unreadable_yaml_is_named_with_its_line(params):
    path = params("batch_size", "batch_size: [32\n  max_epochs: 1")
    said = refusal(sections.Split, path)
    assert "not readable as YAML" in said
    line = path.read_text(encoding="utf-8").splitlines().index("  batch_size: [32") + 1
    assert f"line {line}" in said or f"line {line + 1}" in said


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "params.yaml").write_bytes(b"split: \xff\xfe")
    assert "not readable as YAML" in refusal(sections.Split, tmp_path / "params.yaml")


def test_a_missing_file_says_where_to_stand(tmp_path):
    assert "top of the repository" in refusal(sections.Split, tmp_path / "params.yaml")


def test_a_key_that_stands_twice_is_refused(params):
    assert "'val' stands twice" in refusal(sections.Split, params("val", "val: 0.15\n  val: 0.2"))


def test_a_section_that_is_a_list_is_refused(tmp_path):
    (tmp_path / "params.yaml").write_text("split: [1, 2]\n")
    refusal(sections.Split, tmp_path / "params.yaml")


def test_two_roots_cannot_share_a_name(params):
    said = refusal(sections.Roots, params("    pool", "    library: data/demo/pool"))
    assert "two roots are called 'library'" in said


@pytest.mark.parametrize("name", ["a/b", ".hidden"])
def test_a_roots_name_is_the_first_part_of_a_path(params, name):
    assert "cannot name a root" in refusal(sections.Roots, params("    pool", f"    {name}: data"))


def test_a_kind_without_folders_may_stay_empty(params):
    roots = config.load(sections.Roots, params("    pool"))
    assert roots.pool == {}


def test_naming_a_root_changes_one_line_and_keeps_every_comment(params):
    path = params()
    before = path.read_text(encoding="utf-8").splitlines()
    config.set_root("pool", "pool", Path("/mnt/my pictures"), path)
    config.set_root("pool", "cards", Path("/mnt/cards"), path)
    after = path.read_text(encoding="utf-8").splitlines()
    assert sorted(set(after) - set(before)) == ["    cards: /mnt/cards", "    pool: /mnt/my pictures"]
    assert [line.partition(":")[0] for line in set(before) - set(after)] == ["    pool"]
    config.set_root("benchmark", "messy", Path("/mnt/messy"), path)
    blank = path.read_text(encoding="utf-8").splitlines().index("", 3)
    assert "messy" in "".join(path.read_text(encoding="utf-8").splitlines()[:blank])  # the section stays whole
    assert config.load(sections.Roots, path).pool["pool"] == Path("/mnt/my pictures")


def test_the_first_root_of_an_empty_kind_can_be_named(params):
    path = params("    pool")
    config.set_root("pool", "pool", Path("/mnt/pool"), path)
    assert config.load(sections.Roots, path).pool == {"pool": Path("/mnt/pool")}


@pytest.mark.parametrize("name", ["library", "a/b"])
def test_naming_a_root_never_breaks_the_file(params, name):
    path = params()
    before = path.read_bytes()
    with pytest.raises(UsageError):
        config.set_root("pool", name, Path("/mnt/pool"), path)
    assert path.read_bytes() == before


def test_other_values_are_checked_as_those_in_the_file_and_leave_it_alone(params):
    path = params("batch_size: 32", "batch_size: auto")
    before = path.read_bytes()
    changed = config.changed(sections.Train, {"zoom": 0, "learning_rate": "1e-4"}, path)
    assert (changed.zoom, changed.learning_rate, changed.batch_size) == (0, 0.0001, None)
    for values, said in [({"zom": 0}, "did you mean 'zoom'"), ({"zoom": 2}, "zoom is 2"), ({"max_epochs": 0}, "0")]:
        with pytest.raises(UsageError) as refused:
            config.changed(sections.Train, values, path)
        assert said in str(refused.value)
    assert path.read_bytes() == before


def test_values_written_into_the_params_change_their_lines_and_no_other(params):
    path = params()
    before = path.read_text(encoding="utf-8").splitlines()
    config.write({"train": {"flip": False, "learning_rate": 0.0001}, "curate": {"min_images": 35}}, path)
    changed = [line for line in path.read_text(encoding="utf-8").splitlines() if line not in before]
    assert [line.split("#")[0].strip() for line in changed] == [
        "min_images: 35",
        "learning_rate: 0.0001",
        "flip: false",
    ]
    assert all("#" in line for line in changed)
    assert config.load(sections.Train, path).learning_rate == 0.0001
    assert config.load(sections.Curate, path).min_images == 35


@pytest.mark.parametrize(
    ("text", "value"), [("false", False), ("0.99", 0.99), ("grow", "grow"), ("[a, b]", ["a", "b"])]
)
def test_a_value_is_read_as_it_stands_in_the_params(text, value):
    assert config.read_value(text) == value


def test_what_stages_read_is_told_without_what_they_write(monkeypatch):
    monkeypatch.chdir(REAL.parents[1])
    read = config.dependencies(["train", "evaluate"])
    assert {Path("data/base"), Path("data/splits/splits.parquet"), Path("data/classes.csv")} < set(read)
    assert Path("data/model") not in read
    assert Path("data/model") in config.dependencies(["evaluate"])


def test_an_unknown_preset_offers_the_nearest(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "PRESETS", tmp_path)
    (tmp_path / "inception_v4.yaml").write_text("architecture: inception_v4\nimage_size: 299\n")
    assert config.load_preset("inception_v4").image_size == 299
    with pytest.raises(UsageError, match="did you mean 'inception_v4'"):
        config.load_preset("inceptionv4")


def test_advice_for_a_word_like_no_other_lists_what_is_known():
    assert closest("zzz", ["test", "val"]) == "known: test, val"
    assert closest("tset", ["test", "val"]) == "did you mean 'test'?"


def test_a_section_cannot_be_changed_after_it_was_read():
    section = config.load(sections.Split, REAL)
    with pytest.raises(Exception, match="frozen"):
        section.val = 0.5


def test_a_digest_that_yaml_takes_for_a_number_is_to_be_quoted(params):
    line = "ensemble: {data/released: 123456789012}"
    assert "put the digest of data/released in quotes" in refusal(sections.Evaluate, params("ensemble", line))


@pytest.mark.parametrize(
    ("line", "read"), [("", {}), ("{data/a:}", {"data/a": ""}), ("{a: 0123abcd}", {"a": "0123abcd"})]
)
def test_further_bundles_are_named_with_the_digest_of_their_model(params, line, read):
    assert config.load(sections.Evaluate, params("ensemble", f"ensemble: {line}")).ensemble == read
