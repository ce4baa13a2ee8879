"""The demo: a small library, pool and benchmark set of real silhouettes, and a reviewer who knows the truth."""

import shutil
from pathlib import Path

import pandas as pd

from pipeline import config, paths, sections
from pipeline.errors import UsageError
from pipeline.files import digests, in_turn, write_csv
from pipeline.library import index, labels, roots

BENCHMARK = "field"


def library_is_empty() -> bool:
    """Whether nobody has labelled anything yet, nor laid a picture into a library folder."""
    roots = config.load(sections.Roots)
    table = labels.read(paths.LABELS, list(roots.folders))
    folders = (roots.folders[name] for name in roots.library)
    return table.empty and not any(folder.is_dir() and any(folder.iterdir()) for folder in folders)


def write(folder: Path, *, size: float) -> int:
    """Writes the demo's pictures and tables; returns the number of label rows, 0 if it was there already.

    Raises:
      UsageError: if there is a library that is not the demo's; it is left alone.
    """
    from pipeline.demo import library, silhouettes

    if (folder / library.MARKER).exists():
        return 0
    if not library_is_empty() or folder.exists():
        raise UsageError(
            "there is a library that is not the demo's, and it is left alone",
            where=paths.LABELS,
            mend="try the demo in a fresh clone",
        )
    roots = config.load(sections.Roots)
    for name in ("library", "pool", "benchmark"):
        if roots.folders.get(name) != (folder / name).absolute():
            raise UsageError(f"root '{name}' is not the demo's", where=config.PARAMS, mend=f"set it to {folder / name}")
    rows, benchmark = library.write(folder, silhouettes.load(), size=size)
    for table in (rows, benchmark):
        table["sha256"] = digests([labels.locate(image, roots.folders) for image in table["image"]])
    with in_turn(config.own("labels.lock"), str(paths.LABELS)):
        labels.write(labels.check(rows, list(roots.folders), "the demo"), paths.LABELS)
    write_csv(benchmark, paths.BENCHMARKS / f"{BENCHMARK}.csv")
    return len(rows)


def remove(folder: Path, *, at: str) -> int:
    """Takes the demo out of the tables and deletes its pictures; returns the number of label rows removed.

    That its roots are empty then is recorded as meant, so that the next round does not wait for them.

    Raises:
      UsageError: if the folder is not the demo's.
    """
    from pipeline.demo import library, reviewer
    from pipeline.review import labelling

    if not (folder / library.MARKER).exists():
        raise UsageError("there is no demo", where=folder)
    known = config.load(sections.Roots)
    ours = [name for name, path in known.folders.items() if path.is_relative_to(folder.absolute())]
    states = roots.known(paths.INDEX, config.cache(index.CACHE))
    lost = roots.standing(states, pd.Series(dtype="str"), ours)
    if len(lost):
        roots.add(roots.read(paths.ROOTS), lost, paths.ROOTS, by="the demo", at=at, note="wallaby demo --remove")
    with in_turn(config.own("labels.lock"), str(paths.LABELS)):
        table = labels.read(paths.LABELS, list(known.folders))
        from_demo = labels.root_of(table["image"]).isin(ours)
        labels.write(table[~from_demo], paths.LABELS)
    (paths.BENCHMARKS / f"{BENCHMARK}.csv").unlink(missing_ok=True)
    for session in paths.REVIEWS.glob(f"{reviewer.SESSION}*.csv"):
        if set(labels.read_csv(session, ["by"])["by"]) == {reviewer.NAME}:  # a person's may be called so too
            session.unlink()
    for path in (paths.REPLACED, paths.REVIEWS / f"{labelling.SESSION}.csv"):  # what was taken back, and what it was
        _forget(path, ours)
    shutil.rmtree(folder)
    config.cache(index.CACHE).unlink(missing_ok=True)  # it would miss the demo's folders
    return int(from_demo.sum())


def _forget(path: Path, roots: list[str]) -> None:
    """Drops the rows about pictures of these roots, and a table that has no others."""
    if not path.exists():
        return
    table = labels.read_csv(path, ["image"])
    kept = table[~labels.root_of(table["image"]).isin(roots)]
    if kept.empty:
        path.unlink()
    elif len(kept) < len(table):
        write_csv(kept, path)


def review(folder: Path, queue: Path = paths.QUEUE, *, at: str) -> tuple[Path, int]:
    """Plays the reviewer: answers a whole queue in a review table; returns its file and the number of decisions."""
    from pipeline.demo import reviewer
    from pipeline.review import decisions, sheets

    found = reviewer.review(sheets.queues(queue), folder, at=at, model=sheets.model_digest(queue))
    return decisions.write(found, paths.REVIEWS, reviewer.SESSION), len(found)
