"""The command lines of verbs about images, labels, classes and roots."""

from pathlib import Path

import pytest

from pipeline.cli import program, start
from pipeline.errors import UsageError


def parsed(line: str) -> dict:
    return vars(program().parse(line.split()))


@pytest.mark.parametrize(
    "line",
    [
        "import --root mine --dry-run library DIR --origin staged",
        "import library --dry-run DIR --root mine --origin staged",
        "import --origin staged library --root mine DIR --dry-run",
    ],
)
def test_options_stand_before_or_after_the_action(line):
    args = parsed(line)
    assert (args["run"], args["source"], args["root"]) == (start.import_library, Path("DIR"), "mine")
    assert (args["origin"], args["dry_run"], args["replace"], args["json"]) == ("staged", True, False, False)


@pytest.mark.parametrize(
    ("line", "run", "values"),
    [
        ("import benchmark street DIR --replace --json", "import_benchmark", {"name": "street", "json": True}),
        ("import pool DIR", "import_pool", {"root": "", "folder": None, "dry_run": False}),
        ("classes", "classes", {"json": False}),
        ("classes --json", "classes", {"json": True}),
        ("classes rename puma cougar --by ann", "class_event", {"action": "rename", "name": "puma", "to": "cougar"}),
        ("classes retire emu", "class_event", {"action": "retire", "name": "emu", "note": ""}),
        ("classes --min-images 30 set zebra", "class_event", {"action": "set", "min_images": "30", "flip": ""}),
        ("classes undo --dry-run", "undo_class_event", {"dry_run": True}),
        ("roots", "roots", {"dry_run": False}),
        ("roots --by ann empty pool", "empty_root", {"name": "pool", "by": "ann"}),
        ("moved library/cow /disk --root /disk", "moved", {"new": "/disk", "root": Path("/disk")}),
        ("demo --review --throwaway", "demo", {"review": True, "throwaway": ""}),
        ("board zebra --all", "board", {"label": "zebra", "all": True}),
    ],
)
def test_a_line_calls_its_command(line, run, values):
    args = parsed(line)
    assert args["run"].__name__ == run
    assert {name: args[name] for name in values} == values


@pytest.mark.parametrize(
    ("line", "what", "hint"),
    [
        ("import libary DIR", "unknown action 'libary'", "did you mean 'library'?"),
        ("classes renam a b", "unknown action 'renam'", "did you mean 'rename'?"),
        ("roots emty pool", "unknown action 'emty'", "did you mean 'empty'?"),
        ("import", "ACTION", "--help"),
        ("import benchmark street", "DIR|FILE", "--help"),
        ("classes merge lion", "INTO", "--help"),
        ("roots empty", "NAME", "--help"),
        ("classes set zebra --flip sideways", "'sideways'", "no, yes"),
    ],
)
def test_a_line_that_does_not_fit_says_what_is_wrong(line, what, hint):
    with pytest.raises(UsageError) as refused:
        parsed(line)
    assert what in refused.value.what
    assert hint in refused.value.mend


def test_an_action_has_a_help_of_its_own(capsys):
    for line in ("import benchmark --help", "classes rename --help"):
        with pytest.raises(SystemExit):
            parsed(line)
    help = capsys.readouterr().out
    assert "what the set is called" in help
    assert "make a new version of the set" in help
    assert "--by BY" in help
    assert "--min-images" not in help
