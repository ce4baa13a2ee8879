"""What could not be logged, since the store did not answer: kept in order, with its files, and logged later."""

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from pipeline.files import atomic_folder, plain, read_json, write_json

ENTRY, FILES = "entry.json", "files"


class Later:
    """A queue of entries in a folder: each what to call, its arguments, and copies of its files.

    Args:
      folder: one per address of a store; it is made with the first entry.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def __len__(self) -> int:
        return len(self._entries())

    def keep(self, name: str, arguments: dict[str, Any], files: Iterable[Path] = ()) -> None:
        """Adds an entry at the end; a file of the same device is linked, not copied."""
        number = int(self._entries()[-1].name) + 1 if len(self) else 1
        with atomic_folder(self.folder / f"{number:06d}") as new:
            for file in files:
                (new / FILES).mkdir(exist_ok=True)
                if file.is_dir():
                    shutil.copytree(file, new / FILES / file.name, copy_function=link)
                else:
                    link(file, new / FILES / file.name)
            write_json({"name": name, "arguments": plain(arguments)}, new / ENTRY)

    def work_off(self, call: Callable[[str, dict[str, Any], list[Path]], object]) -> int:
        """Calls each entry in order, and takes away those that are done; returns how many these were.

        What `call` raises ends it; the entry stays, and so do those that follow.
        """
        done = 0
        for entry in self._entries():
            kept = read_json(entry / ENTRY)
            call(kept["name"], kept["arguments"], sorted((entry / FILES).glob("*")))
            shutil.rmtree(entry)
            done += 1
        return done

    def _entries(self) -> list[Path]:
        return sorted(path for path in self.folder.glob("[0-9]*") if path.is_dir())


def link(source: str | Path, target: str | Path) -> None:
    """A second name of a file; a copy where the file system has none, or on another device."""
    try:
        Path(target).hardlink_to(source)
    except OSError:
        shutil.copyfile(source, target)
