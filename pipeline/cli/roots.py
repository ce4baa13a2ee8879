"""Commands about the roots, and about images that were moved."""

import argparse
from pathlib import Path

from pipeline import paths
from pipeline.cli.common import Verb, answer, now, user
from pipeline.errors import Exit, UsageError


def add(verb: Verb) -> None:
    command = verb("roots", roots, "list the roots and what is missing in them, or record that a loss is meant")
    command.add_argument("what", nargs="?", choices=["empty"], help="the loss of NAME is meant, for the next index")
    command.add_argument("name", nargs="?", default="", metavar="NAME", help="the root")
    command.add_argument("--by", default="", help="who decides (default: git's user.name)")
    command.add_argument("--note", default="", help="why")
    command.add_argument("--dry-run", action="store_true", help="say what would be recorded")

    command = verb("moved", moved, "let the rows of all tables follow images that were moved or renamed")
    command.add_argument("old", metavar="OLD", help="a root, ROOT/folder or ROOT/path: what the rows say")
    command.add_argument("new", metavar="NEW", help="the same, or a folder in no root: where the images lie now")
    command.add_argument(
        "--root", type=Path, metavar="DIR", help="with a NEW in no root: the folder above it that becomes one"
    )
    command.add_argument("--by", default="", help="who moved them (default: git's user.name)")
    command.add_argument("--dry-run", action="store_true", help="say what would move")


def roots(args: argparse.Namespace) -> int:
    from pipeline.review import standing
    from pipeline.terminal import roots as terminal

    if not args.what:
        rows = standing.listed()
        if args.json:
            return answer(args, rows, "")
        terminal.roots(rows)
        return Exit.DONE
    if not args.name:
        raise UsageError("roots empty takes the NAME of a root", where="wallaby roots empty")
    row = standing.accept(args.name, by=args.by or user(), at=now(), note=args.note, dry_run=args.dry_run)
    if row["images"] == row["there"]:
        return answer(
            args, row, f"all {row['images']} images of '{args.name}' are where they were; nothing is recorded"
        )
    done = "would be recorded" if args.dry_run else f"is recorded in {paths.ROOTS}"
    text = f"that '{args.name}' has {row['there']} of its {row['images']} images left {done}; next: dvc repro"
    return answer(args, row, text)


def moved(args: argparse.Namespace) -> int:
    from pipeline.review import relocating
    from pipeline.terminal import roots as terminal

    by = args.by or user()
    show = (lambda plan: None) if args.json else terminal.relocation
    plan = relocating.relocate(args.old, args.new, by=by, at=now(), dry_run=args.dry_run, new_root=args.root, show=show)
    if not plan.rows:
        text = f"nothing to move: {plan.before} images are called '{plan.new}' already"
    else:
        text = "nothing is written" if args.dry_run else "moved; next: dvc repro"
    answer(args, plan.as_dict(), text)
    return Exit.SOME_FAILED if plan.left else Exit.DONE
