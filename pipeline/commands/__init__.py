"""What the commands do: one file per verb, each with functions that take a workspace and return an `Answer`."""

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import DataError, Exit, UsageError

if TYPE_CHECKING:
    from pipeline.workspace import Workspace


@dataclass(frozen=True)
class Answer:
    """What a command answers.

    Attributes:
      data: for machines: plain values, data frames, or an object with `as_dict`.
      text: for people, where no table is shown.
      code: the exit code.
      show: prints the table that people see in place of the text.
    """

    data: Any
    text: str = ""
    code: Exit = Exit.DONE
    show: Callable[[], None] | None = None

    def as_table(self, table: Callable[..., None], *values: Any, **options: Any) -> "Answer":
        """The same answer, shown to people as `table(*values, **options)` prints it; without values, of the data."""
        return replace(self, show=partial(table, *(values or (self.data,)), **options))


def warn(lines: Iterable[str]) -> None:
    """Prints warnings on stderr, where they are in nobody's way."""
    for line in lines:
        print(f"warning: {line}", file=sys.stderr)


def log(line: str) -> None:
    """Prints a line about the progress of a long command on stderr."""
    print(line, file=sys.stderr, flush=True)


def existing(path: Path) -> Path:
    """The path of a product.

    Raises:
      DataError: if the round has not made it yet.
    """
    if not path.exists():
        raise DataError("the round has not come this far yet", where=path, mend="run `dvc repro`")
    return path


def now() -> str:
    """The time in UTC, ISO 8601 with milliseconds."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def user() -> str:
    """Whom git takes for the author.

    Raises:
      UsageError: if git does not know.
    """
    result = subprocess.run(["git", "config", "user.name"], capture_output=True, text=True, check=False)
    name = result.stdout.strip()
    if not name:
        raise UsageError("nobody knows who you are", where="git config user.name", mend="say --by YOUR-NAME")
    return name


def queue_folder(workspace: "Workspace", throwaway: str | None, otherwise: Path | None = None) -> Path:
    """The folder of a queue: a throw-away run's, else `otherwise`, by default the round's.

    Args:
      throwaway: the name of the run, "" for the only one; None for no run.

    Raises:
      UsageError: if there is no such run.
    """
    if throwaway is None:
        return otherwise or workspace.queue
    from pipeline.commands import throwaway as runs  # here: it brings scipy along, and the page must open at once

    return runs.find(workspace, throwaway) / runs.QUEUE
