"""The files that every repository of rounds holds, as this program brings them along."""

from pathlib import Path

PACKAGE = Path(__file__).parents[1]
WHEEL, CHECKOUT = PACKAGE / "template", PACKAGE.parent

PARAMS = Path("configs/params.yaml")
PIPELINE = Path("dvc.yaml")
BEHAVIOUR = (Path("configs/behaviour.yaml"), Path("configs/behaviour.lock"))
REPLACED = (*BEHAVIOUR, PIPELINE, Path("scripts/round"), Path(".dvcignore"))  # by an upgrade, as a whole
TABLES = tuple(Path("data") / name for name in ("labels.csv", "classes.csv", "quarantine.csv", "roots.csv"))
NOTES = (Path("data/benchmarks/README.md"), Path("data/reviews/README.md"))
IGNORING = Path(".gitignore")


def folder() -> Path:
    """Where the files lie: in the wheel, or at the top of the checkout that the program runs from."""
    return WHEEL if WHEEL.is_dir() else CHECKOUT


def presets() -> list[Path]:
    """The presets, relative to `folder`."""
    return sorted(path.relative_to(folder()) for path in (folder() / "configs/models").glob("*.yaml"))


def read(name: Path) -> str:
    """The text of one file; of a table, its head alone."""
    text = (folder() / name).read_text(encoding="utf-8")
    return text.partition("\n")[0] + "\n" if name in TABLES else text


def files() -> list[Path]:
    """Every file of a new repository, relative to its root."""
    ignoring = [file.relative_to(folder()) for file in sorted((folder() / "data").glob("*/.gitignore"))]
    ignoring += [Path("data/.gitignore")]
    return [PARAMS, *presets(), *REPLACED, *TABLES, *NOTES, IGNORING, *ignoring]
