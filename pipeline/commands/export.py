"""`wallaby export`: writes the model, or its predictions of the pool, for other programs."""

from pathlib import Path

from pipeline import bundle
from pipeline.commands import Answer
from pipeline.errors import DataError, UsageError
from pipeline.files import read_table
from pipeline.inference import model_export, model_formats, prediction_export, store
from pipeline.inference.prediction_export import Selection
from pipeline.library import labels
from pipeline.workspace import Workspace


def predictions(
    workspace: Workspace,
    name: str,
    selection: Selection,
    *,
    out: Path | None = None,
    replace: bool = False,
    dry_run: bool = False,
) -> Answer:
    """Writes the last round's predictions of the pool in a format of `prediction_export.FORMATS`.

    Args:
      out: the file; by default below `data/export`.
      replace: replaces the file that `out` names.

    Raises:
      UsageError: for a limit below 1, or if there is a file already.
    """
    format_, folders = prediction_export.FORMATS[name], workspace.folders
    if selection.limit is not None and selection.limit < 1:
        raise UsageError(f"--limit {selection.limit}: at least one image", where="wallaby export")
    if out and out.exists() and not replace:
        raise UsageError("there is a file already", where=out, mend="name another, or say --replace")
    out = out or workspace.export / format_.file
    if dry_run:
        number = sum(map(len, prediction_export.select(name, workspace.predictions, selection)))
    else:
        number = prediction_export.write(name, workspace.predictions, out, selection=selection, folders=folders)
    figures = {"images": number, "out": str(out), "base": str(prediction_export.Files(folders).base)}
    text = f"{out}: {format_.title}, {number} images\n{format_.note.format(**figures)}"
    return Answer(figures, f"would write {text}" if dry_run else text)


def model(
    workspace: Workspace,
    name: str,
    *,
    folder: Path | None = None,
    out: Path | None = None,
    check: int = 32,
    dry_run: bool = False,
) -> Answer:
    """Writes a bundle's model in a format of `model_formats.FORMATS`, compared with Keras on real images.

    Args:
      folder: the bundle; by default the last round's model.
      out: the folder; by default below `data/export`.
      check: images to compare.

    Raises:
      UsageError: for an unknown format, the nearest is offered, or a folder that holds something else.
      DataError: see `model_export.export`.
    """
    format_ = model_formats.find(name, others=prediction_export.FORMATS)
    if check < 1:
        raise UsageError(f"--check {check}: at least one picture", where="wallaby export")
    folder, out = folder or workspace.model, out or workspace.export / name
    model_export.refuse_another_s_folder(out)
    card = bundle.check(folder)
    if dry_run:
        planned = model_export.describe(name, card, len(bundle.read_classes(folder))) | {"out": str(out)}
        return Answer(planned, f"would write {format_.title} of model {card.model_digest[:12]} into {out}")
    written = model_export.export(name, folder, out, pictures=some_images(workspace, check))
    checked = written["check"]
    text = (
        f"{out / format_.file}: {format_.title} of model {card.model_digest[:12]}, {written['bytes'] / 1e6:.1f} MB\n"
        f"{checked['pictures']} pictures: scores differ from Keras by at most {checked['max_difference']:.1e}"
        f" (limit {checked['limit']:g}), the same class for {checked['agreement']:.0%}\n"
        f"{written['input']}\n{written['output']}\n"
        f"load it: {format_.usage.format(path=out / format_.file)}"
    )
    return Answer(written | {"out": str(out)}, text)


def some_images(workspace: Workspace, number: int) -> list[Path]:
    """Files of images to check with: `number` of today's data sets, as their hashes fall, else of the pool.

    Raises:
      DataError: if the workspace has neither.
    """
    columns = ["image", "sha256"]
    if workspace.splits_table.exists():
        rows = read_table(workspace.splits_table, columns)
    elif workspace.pool_table.exists():
        rows = next(store.stream(workspace.pool_table, columns, 10 * number), None)
    else:
        rows = None
    if rows is None or rows.empty:
        raise DataError("no picture to check the export with", where="data", mend="run `dvc repro` first")
    chosen = rows.drop_duplicates("sha256").sort_values("sha256").head(number)
    folders = workspace.folders
    return [labels.locate(image, folders) for image in chosen["image"]]
