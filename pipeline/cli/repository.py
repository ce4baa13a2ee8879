"""Verbs about the repository itself."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.parser import Program

if TYPE_CHECKING:
    from pipeline.commands import Answer
    from pipeline.workspace import Workspace


def add(program: Program) -> None:
    verb = program.verb("new", new, "make a repository that runs rounds")
    verb.add("folder", type=Path, metavar="DIR", help="a folder that is empty or does not exist")
    verb.add("--dry-run", action="store_true", help="say what would be written")

    verb = program.verb("upgrade", upgrade, "bring the repository up to the program, and say what will re-run, and why")
    verb.add("--dry-run", action="store_true", help="say what would change")


def wheel(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import wheel

    return wheel.wheel(workspace)


def new(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import new

    return new.new(args.folder, dry_run=args.dry_run)


def upgrade(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import upgrade

    return upgrade.upgrade(workspace, dry_run=args.dry_run)
