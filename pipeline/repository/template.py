"""The files that every repository of rounds holds, as this program brings them along."""

from pathlib import Path

from pipeline.library import classes, labels, quarantine, roots
from pipeline.repository import merging

PACKAGE = Path(__file__).parents[1]
WHEEL, CHECKOUT = PACKAGE / "template", PACKAGE.parent

PARAMS = Path("configs/params.yaml")
PIPELINE = Path("dvc.yaml")
BEHAVIOUR = (Path("configs/behaviour.yaml"), Path("configs/behaviour.lock"))
REPLACED = (*BEHAVIOUR, PIPELINE, Path("scripts/round"), Path(".dvcignore"))  # by an upgrade, as a whole
TABLES = {
    Path("data/labels.csv"): labels.COLUMNS,
    Path("data/classes.csv"): classes.COLUMNS,
    Path("data/quarantine.csv"): quarantine.COLUMNS,
    Path("data/roots.csv"): roots.COLUMNS,
}
NOTES = (Path("data/benchmarks/README.md"), Path("data/reviews/README.md"), Path("data/rounds/README.md"))
IGNORING, ATTRIBUTES = Path(".gitignore"), Path(".gitattributes")


def folder() -> Path:
    """Where the files lie: in the wheel, or at the top of the checkout that the program runs from."""
    return WHEEL if WHEEL.is_dir() else CHECKOUT


def presets() -> list[Path]:
    """The presets, relative to `folder`."""
    return sorted(path.relative_to(folder()) for path in (folder() / "configs/models").glob("*.yaml"))


def read(name: Path) -> str:
    """The text of one file; of a table, its head alone."""
    if name in TABLES:
        return ",".join(TABLES[name]) + "\n"
    if name == ATTRIBUTES:
        return merging.ATTRIBUTES
    return (folder() / name).read_text(encoding="utf-8")


def files() -> list[Path]:
    """Every file of a new repository, relative to its root."""
    ignoring = [file.relative_to(folder()) for file in sorted((folder() / "data").glob("*/.gitignore"))]
    ignoring += [Path("data/.gitignore")]
    return [PARAMS, *presets(), *REPLACED, *TABLES, *NOTES, IGNORING, ATTRIBUTES, *ignoring]
