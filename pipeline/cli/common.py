"""What commands share: how one is added, and how it answers."""

import argparse
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import errors
from pipeline.errors import Exit

Verb = Callable[[str, Callable[[argparse.Namespace], int], str], argparse.ArgumentParser]  # name, function, help


def answer(args: argparse.Namespace, result: Any, text: str) -> int:
    """Prints the result as JSON if that is asked for, else the text."""
    if args.json:
        from pipeline.rounds import as_json

        print(as_json(result))
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
