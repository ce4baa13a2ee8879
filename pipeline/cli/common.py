"""What commands share: how one is added, and how it answers."""

import argparse
import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import errors, paths
from pipeline.errors import Exit

Verb = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]  # name, function, help


def answer(args: argparse.Namespace, result: Any, text: str) -> int:
    """Prints the result as JSON if that is asked for, else the text."""
    if args.json:
        print(json.dumps(result, indent=2, ensure_ascii=False, default=str))
    else:
        print(text)
    return Exit.DONE


def warn(lines: list[str]) -> None:
    """Prints warnings where they are in nobody's way."""
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)


def existing(path: Path) -> Path:
    if not path.exists():
        raise errors.DataError("the round has not come this far yet", where=path, mend="run `dvc repro`")
    return path


def queue_of(args: argparse.Namespace, otherwise: Path = paths.QUEUE) -> Path:
    """The folder of the queue that is asked for: a throw-away run's, or the other."""
    if args.throwaway is None:
        return otherwise
    from pipeline.commands import throwaway
    from pipeline.workspace import Workspace

    return throwaway.find(Workspace.find(), args.throwaway) / throwaway.QUEUE


def of_throwaway(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--throwaway", nargs="?", const="", metavar="NAME", help="of this throw-away run (or the only one)"
    )


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def user() -> str:
    """Whom git takes for the author.

    Raises:
      UsageError: if git does not know.
    """
    import subprocess

    result = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)
    name = result.stdout.strip()
    if not name:
        raise errors.UsageError("nobody knows who you are", where="git config user.name", mend="say --by YOUR-NAME")
    return name
