"""What makes a stage's behaviour another one, what does not, and who is warned."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from pipeline import behaviour
from pipeline.behaviour import command, reach
from pipeline.errors import DataError, UsageError
from tests.test_architecture import ROOT, STAGES, imports_between_rooms

CODE = {
    "pipeline/__init__.py": "",
    "pipeline/config.py": "from pipeline import unrelated\n",
    "pipeline/unrelated.py": "x = 1\n",
    "pipeline/stages/train.py": "from pipeline import config\nfrom pipeline.training import fitting\n",
    "pipeline/stages/queue.py": "from pipeline.pages import rendering\nimport numpy as np\n",
    "pipeline/training/__init__.py": '"""Training."""\n',
    "pipeline/training/fitting.py": "import keras\n\n\ndef fit(rate=0.1):\n    from pipeline.models import presets\n",
    "pipeline/models/presets.py": "built = {}\n",
    "pipeline/pages/rendering.py": "PAGE = 'queue.html'\n",
    "pipeline/pages/queue.html": "{% extends 'base.html' %}\n",
    "pipeline/pages/base.html": "<html></html>\n",
    "pipeline/pages/other.html": "<html></html>\n",
    "configs/models/small.yaml": "image_size: 75\n",
    "configs/behaviour.yaml": "# What each stage does.\ntrain: 1\nqueue: 3\n",
    "constraints.txt": "keras==3.15.1\nnumpy==2.4.6\npillow==13.0.0\nscipy==1.17.1 ; python_full_version < '3.12'\n",
}
FITTING = "pipeline/training/fitting.py"


@pytest.fixture
def workspace(tmp_path, monkeypatch) -> Path:
    """Two small stages whose behaviour is recorded."""
    for name, text in CODE.items():
        write(tmp_path / name, text)
    monkeypatch.chdir(tmp_path)
    behaviour.record(["train", "queue"])
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    os.utime(path, ns=(write.clock, write.clock))
    write.clock += 1_000_000_000


write.clock = 1_700_000_000_000_000_000  # each write has a time of its own, as those of people do


def edit(name: str, old: str, new: str) -> None:
    text = Path(name).read_text()
    assert old in text
    write(Path(name), text.replace(old, new))


@pytest.mark.parametrize("stage", STAGES)
def test_the_code_of_a_stage_is_what_was_recorded_with_its_version(stage):
    differs = behaviour.difference(behaviour.reached(stage, ROOT), behaviour.recorded(ROOT).get(stage, {}))
    assert not differs, (
        f"the code of {stage} is not what configs/behaviour.lock records:\n{differs}\n"
        f"`scripts/behaviour raise {stage}` if it writes other values now, `scripts/behaviour same {stage}` if not"
    )


def test_dvc_runs_a_stage_again_for_its_version_and_for_no_module():
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    assert list(behaviour.versions(ROOT)) == list(stages) == STAGES
    for name, stage in stages.items():
        read = [params for params in stage["params"] if str(behaviour.VERSIONS) in params]
        assert read == [{str(behaviour.VERSIONS): [name]}]
        assert all(dep.startswith("data/") for dep in stage["deps"])


def test_every_package_that_a_stage_imports_is_pinned_or_known_to_change_no_value():
    known = reach.DISTRIBUTIONS.keys() | reach.PACKAGES_WITHOUT_VALUES | sys.stdlib_module_names | {"pipeline"}
    files = {file for stage in STAGES for file in behaviour.reached(stage, ROOT) if file.endswith(".py")}
    imported = {name.partition(".")[0] for file in files for name in reach.parsed(ROOT / file).imports}
    assert imported <= known
    pins = reach.pins_of(ROOT)
    assert {name for names in reach.DISTRIBUTIONS.values() for name in names} <= pins.keys()


def test_what_is_left_out_of_all_digests_exists():
    for name in reach.CANNOT_CHANGE_WHAT_A_STAGE_WRITES:
        assert (ROOT / name).is_file()
    assert imports_between_rooms()["behaviour"] == {"errors"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1\n", "x = 1  # metres\n"),
        ("def f(a, b):\n    return a\n", 'def f(\n    a,\n    b,\n):\n    """Returns a."""\n\n    return (a)\n'),
        ("class Fault(Exception):\n    pass\n", 'class Fault(Exception):\n    """A fault."""\n'),
        ("x = 'one' 'two'\n", 'x = (\n    "one"\n    "two"\n)\n'),
        ("x = f'{a}b'  f'c{d!r:>{e}}'\n", 'x = f"{a}bc" f"{d!r:>{e}}"\n'),
        ("x = [1, 2]\n", "x = [\n    1,\n    2,\n]\n"),
        ("x = 1000000\n", "x = 1_000_000\n"),
    ],
)
def test_comments_docstrings_and_layout_are_no_behaviour(before, after):
    assert reach.canonical(before) == reach.canonical(after)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("x = 1\n", "x = 1.0\n"),
        ("x = 1\n", "x = True\n"),
        ("x = a - b\n", "x = b - a\n"),
        ("x = f'{a}'\n", "x = f'{a!r}'\n"),
        ("x = f'{a:.1f}'\n", "x = f'{a:.2f}'\n"),
        ("x = f'{a}b'\n", "x = f'{a}' + 'b'\n"),
        ("if a:\n    b()\nc()\n", "if a:\n    b()\n    c()\n"),
        ("def f(a, *, b=1): ...\n", "def f(a, b=1): ...\n"),
        ("def f(): return None\n", "async def f(): return None\n"),
        ("for a in b:\n    c()\nelse:\n    d()\n", "for a in b:\n    c()\nd()\n"),
        ("x: int = 1\n", "x: float = 1\n"),
        ("x = {'a': 1, **b}\n", "x = {**b, 'a': 1}\n"),
        ("def f(a=None): a()\n", "def f(a): a()\n"),
    ],
)
def test_another_value_operator_or_order_is_another_behaviour(before, after):
    assert reach.canonical(before) != reach.canonical(after)


def interpreters() -> dict[str, str]:
    """The supported Pythons of this machine, by version."""
    found = {}
    for version in ("3.11", "3.12", "3.13"):
        places = [shutil.which(f"python{version}"), *Path.home().glob(f".pyenv/versions/{version}.*/bin/python")]
        code = "import sys; print(f'{sys.version_info[0]}.{sys.version_info[1]}')"
        for place in filter(None, places):
            said = subprocess.run([place, "-c", code], capture_output=True, text=True, check=False).stdout.strip()
            if said == version:
                found[version] = str(place)
    return found


def test_all_supported_pythons_find_equal_digests_without_any_package():
    code = "from pipeline import behaviour as b; print([(s, b.reach.digest_of(b.reached(s))) for s in b.versions()])"
    digests = {
        version: subprocess.run(
            [python, "-S", "-E", "-c", f"import sys; sys.path.insert(0, '.'); {code}"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for version, python in (
            interpreters() | {f"{sys.version_info[0]}.{sys.version_info[1]}": sys.executable}
        ).items()
    }
    assert len(set(digests.values())) == 1, digests


def test_a_stage_reaches_what_it_imports_at_any_depth_and_what_these_modules_read(workspace):
    assert set(behaviour.reached("train")) == {
        "pipeline/stages/train.py",
        FITTING,
        "pipeline/models/presets.py",
        "configs/models/small.yaml",
        "constraints.txt:keras",
    }
    assert set(behaviour.reached("queue")) == {
        "pipeline/stages/queue.py",
        "pipeline/pages/rendering.py",
        "pipeline/pages/queue.html",
        "pipeline/pages/base.html",
        "constraints.txt:numpy",
    }


@pytest.mark.parametrize(
    ("name", "old", "new", "stages"),
    [
        (FITTING, "0.1", "0.2", ["train"]),
        ("pipeline/pages/base.html", "<html>", "<html lang=en>", ["queue"]),
        ("configs/models/small.yaml", "75", "96", ["train"]),
        ("constraints.txt", "keras==3.15.1", "keras==3.15.2", ["train"]),
        ("constraints.txt", "numpy==2.4.6", "numpy==2.4.7", ["queue"]),
        ("constraints.txt", "pillow==13.0.0", "pillow==13.0.1", []),
        ("pipeline/pages/other.html", "<html>", "<html lang=en>", []),
        ("pipeline/config.py", "unrelated", "unrelated  # but needed", []),
        ("pipeline/unrelated.py", "1", "2", []),
    ],
)
def test_a_change_is_that_of_the_stages_that_reach_it(workspace, name, old, new, stages):
    edit(name, old, new)
    assert list(behaviour.differences()) == stages
    assert bool(behaviour.warning()) == bool(stages)


def test_a_module_that_is_new_or_gone_is_named(workspace):
    write(Path("pipeline/training/losses.py"), "loss = 1\n")
    edit(FITTING, "pipeline.models import presets", "pipeline.training import losses")
    (differs,) = behaviour.differences().values()
    assert differs.changed == [FITTING]
    assert differs.new == ["pipeline/training/losses.py"]
    assert differs.gone == ["configs/models/small.yaml", "pipeline/models/presets.py"]


def test_a_raised_version_is_another_number_and_the_other_stages_keep_theirs(workspace):
    edit(FITTING, "0.1", "0.2")
    edit("pipeline/pages/rendering.py", "PAGE", "FILE")
    assert behaviour.raise_version(["train"]) == {"train": 2}
    assert Path("configs/behaviour.yaml").read_text() == "# What each stage does.\ntrain: 2\nqueue: 3\n"
    assert list(behaviour.differences()) == ["queue"]


def test_the_same_module_may_be_recorded_for_one_stage_and_not_for_another(workspace):
    for stage in ("train", "queue"):
        edit(f"pipeline/stages/{stage}.py", "from", "from pipeline import shared\nfrom")
    write(Path("pipeline/shared.py"), "x = 1\n")
    behaviour.record(["train", "queue"])
    edit("pipeline/shared.py", "1", "2")
    behaviour.record(["queue"])
    assert list(behaviour.differences()) == ["train"]
    behaviour.record(["train"])
    assert not behaviour.differences()


def test_recording_puts_a_record_right_that_a_merge_has_spoilt(workspace):
    text = behaviour.RECORD.read_text()
    lines = text.splitlines(keepends=True)
    behaviour.RECORD.write_text(
        "".join([*lines[:2], "<<<<<<< HEAD\n", lines[2], "=======\n", ">>>>>>> b\n", *lines[3:]])
    )
    behaviour.record(["train", "queue"])
    assert behaviour.RECORD.read_text() == text


def test_a_key_is_the_version_until_the_code_differs(workspace):
    before = behaviour.key("train")
    edit(FITTING, "0.1", "0.2")
    assert behaviour.key("train") != before == "1"
    behaviour.record(["train"])
    assert behaviour.key("train") == before


def test_who_edits_a_stage_is_told_in_three_lines_which_and_what_to_type(workspace):
    assert behaviour.warning() == ""
    edit(FITTING, "0.1", "0.2")
    lines = behaviour.warning().splitlines()
    assert len(lines) == 3
    assert (
        lines[0]
        == "warning: the code of train is not what configs/behaviour.lock records: pipeline/training/fitting.py"
    )
    assert "scripts/behaviour raise train" in lines[2]


def test_who_comments_a_stage_is_told_nothing(workspace):
    edit(FITTING, "import keras\n", "import keras  # the network\n")
    assert behaviour.warning() == ""


def test_a_module_that_is_gone_or_does_not_parse_is_a_difference_and_no_crash(workspace):
    write(Path(FITTING), "def fit(:\n")
    assert FITTING in behaviour.warning()
    Path(FITTING).unlink()
    assert FITTING in behaviour.warning()


def test_a_second_look_parses_nothing(workspace, monkeypatch):
    behaviour.warning()
    monkeypatch.setattr(reach, "file_digest", None)
    assert behaviour.warning() == ""


def test_a_workspace_of_earlier_years_without_a_record_is_not_warned(workspace, capsys):
    behaviour.RECORD.unlink()
    Path("configs/behaviour.yaml").unlink()
    behaviour.warn()
    assert capsys.readouterr().err == ""
    with pytest.raises(DataError, match="versions are missing"):
        behaviour.versions()


def test_commands_that_show_results_warn_and_others_do_not(workspace, capsys):
    from pipeline import cli

    edit(FITTING, "0.1", "0.2")
    write(workspace / "configs/params.yaml", "")
    for line, warned in ((["summary"], True), (["runs", "--help"], False), (["validate"], False)):
        with pytest.raises(SystemExit):
            cli.main(line)
        assert ("warning: the code of train" in capsys.readouterr().err) == warned, line


def test_the_command_shows_records_and_raises(workspace, capsys):
    edit(FITTING, "0.1", "0.2")
    assert command.main([]) == 0
    assert capsys.readouterr().out == f"train: version 1, differs from the record\n  changed  {FITTING}\n"
    command.main(["same"])
    assert capsys.readouterr().out.startswith("recorded: train\n")
    command.main([])
    assert capsys.readouterr().out == "all 2 stages are as recorded\n"
    command.main(["raise", "queue"])
    assert capsys.readouterr().out.startswith("queue: version 4\n")


def test_a_mistyped_stage_or_action_is_refused(workspace):
    with pytest.raises(UsageError) as error:
        command.main(["same", "trian"])
    assert error.value.mend == "did you mean 'train'?"
    for wrong in (["raise"], ["keep"]):
        with pytest.raises(UsageError):
            command.main(wrong)


def test_the_script_needs_no_environment():
    result = subprocess.run([ROOT / "scripts/behaviour"], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
