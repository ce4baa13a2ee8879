"""`wallaby new`: makes a repository that runs rounds with the installed program."""

from contextlib import nullcontext
from pathlib import Path

from pipeline.commands import Answer
from pipeline.errors import UsageError
from pipeline.files import atomic_folder, write_text
from pipeline.repository import dvc, merging, template


def new(folder: Path, *, dry_run: bool) -> Answer:
    """Makes the repository in `folder`, under git and DVC, with its files staged; nothing is committed.

    Raises:
      UsageError: if the folder holds something.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError("the folder holds something", where=folder, mend="name one that is empty or does not exist")
    names = template.files()
    data = {"folder": str(folder), "files": [str(name) for name in names]}
    if dry_run:
        return Answer(data, f"would write {len(names)} files into {folder}, and start git and DVC there")
    folder = folder.absolute()
    # An empty folder is filled where it is: the user's shell may stand in it.
    with nullcontext(folder) if folder.exists() else atomic_folder(folder) as made:
        _fill(made, names)
    text = f"a repository of rounds is in {folder}; next:\n  cd {folder}\n"
    text += "  scripts/round                            (a whole round on the demo), or\n"
    text += "  wallaby import library DIR               (your own images, one folder per class)"
    return Answer(data, text)


def _fill(folder: Path, names: list[Path]) -> None:
    for name in names:
        write_text(template.read(name), folder / name)
        if name.parts[0] == "scripts":
            (folder / name).chmod(0o755)
    inside = dvc.git(folder, "rev-parse", "--is-inside-work-tree")
    if not inside:
        dvc.git(folder, "init", "--quiet")
    dvc.run(folder, "init", "--quiet", *(["--subdir"] if inside else []))
    merging.install(folder)
    dvc.git(folder, "add", "--all", ".")
