"""A queue as folders of links, for a file manager: people drag pictures from folder to folder.

`suggested/CLASS/` holds links to the pictures as the model names them, `decided/CLASS/` is empty. A picture in
`decided`, or in another class's folder than it came in, is decided; a folder in a class's folder is a sub-class; whole
folders may be dragged. No picture is moved.
"""

import os
from pathlib import Path, PurePosixPath
from urllib.parse import unquote

import pandas as pd

from pipeline.errors import DataError
from pipeline.files import atomic_folder, digest, write_csv
from pipeline.library import cells, labels, tables
from pipeline.library.walking import SYSTEM_FILES
from pipeline.review.copying import folder_name

LIST = "wallaby.csv"
SUGGESTED, DECIDED = "suggested", "decided"
CHANGED = "changed since"  # in place of a content hash
COLUMNS = ["image", "sha256", "answer", "subclass", "label", "recipe", "model", "where"]
NOTHING = "nothing"  # the folder of pictures without a suggestion


def write(queue: pd.DataFrame, folder: Path, roots: dict[str, Path], answers: list[str]) -> None:
    """Writes the folders.

    Args:
      queue: columns `image`, `sha256`, `label`, `recipe`, `model`, in the order of work.
      roots: every root's folder, by name.
      answers: classes and words that people may give; a folder each.
    """
    with atomic_folder(folder) as new:
        for answer in answers:
            (new / DECIDED / folder_name(answer)).mkdir(parents=True)
        links = []
        for number, row in enumerate(queue.itertuples(), 1):
            picture = labels.locate(row.image, roots)
            link = Path(SUGGESTED, folder_name(row.label) or NOTHING, f"{number:05d} {picture.name}")
            (new / link).parent.mkdir(parents=True, exist_ok=True)
            (new / link).symlink_to(os.path.abspath(picture))
            links.append(link.as_posix())
        listed = queue[["image", "sha256", "label", "recipe", "model"]].assign(link=links)
        write_csv(listed, new / LIST)


def read(folder: Path) -> pd.DataFrame:
    """What was decided: columns `image`, `sha256`, `answer`, `subclass`, `label`, `recipe`, `model`, a row a picture.

    A link is known by its name, one under another name, or a copy, by its content. Where a link leads to another
    content than it did when it was written, `sha256` is `CHANGED`.

    Raises:
      DataError: if a picture was not in the queue, or lies in the folders of two answers.
    """
    listed = tables.read_csv(folder / LIST, ["image", "sha256", "label", "recipe", "model", "link"])
    cells.check(listed, folder / LIST)
    by_name = {PurePosixPath(row.link).name: row for row in listed.itertuples()}
    by_content = {row.sha256: row for row in listed.itertuples()}
    known = {*listed["label"], *(unquote(path.name) for path in (folder / DECIDED).glob("*"))}
    rows = []
    for path in _pictures(folder):
        place = path.relative_to(folder)
        row = by_name.get(path.name) if path.is_symlink() else None
        content = digest(path) if path.is_file() else row.sha256 if row else ""
        changed = row is not None and content != row.sha256  # nobody knows which of the two pictures was looked at
        row = row or by_content.get(content)
        if row is None:
            raise DataError(f"not a picture of this queue: {place}", where=folder, mend="take it out of the folder")
        within = place.parts[:-1]
        if within in ((), (SUGGESTED,), (DECIDED,)) or within == PurePosixPath(row.link).parts[:-1]:
            continue
        answer, *below = map(unquote, within[within[0] in (SUGGESTED, DECIDED) :])
        below = [name for name in below if name != row.label]  # its folder was dragged into an answer's
        if known.intersection(below):
            advice = f"drag it to the folder of one of them in {DECIDED}"
            raise DataError(f"in the folders of two answers: {place}", where=folder, mend=advice)
        said = {"image": row.image, "sha256": CHANGED if changed else row.sha256, "answer": answer}
        said |= {"subclass": "/".join(below), "label": row.label, "recipe": row.recipe, "model": row.model}
        rows.append(said | {"where": str(place)})
    return pd.DataFrame(rows, columns=COLUMNS, dtype="str")


def _pictures(folder: Path):
    for parent, folders, files in os.walk(folder):
        folders.sort()
        for file in sorted(files):
            if not file.startswith(".") and file.lower() not in SYSTEM_FILES and Path(parent, file) != folder / LIST:
                yield Path(parent, file)
