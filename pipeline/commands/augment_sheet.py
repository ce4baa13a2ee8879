"""Shows what training will see, as a page: originals beside the extremes of their augmentation."""

from pathlib import Path

from pipeline import bundle, sections
from pipeline.commands import Answer
from pipeline.files import read_table, write_text
from pipeline.library import labels, pictures, screening
from pipeline.pages.augmentation import augment_sheet
from pipeline.training.augmentation import Augmentation
from pipeline.workspace import Workspace


def write(workspace: Workspace, *, out: Path | None) -> Answer:
    """Writes the augment sheet of the round's training images; the answer counts those that are flagged as endangered.

    Args:
      out: the page; by default in the workspace's cache.

    Raises:
      DataError: if the data sets or the base are missing.
    """
    params, limits = workspace.params(sections.Train), workspace.params(sections.Dataset)
    out, folders = out or workspace.cache("augment-sheet.html"), workspace.folders
    image_size = bundle.check(workspace.base).image_size
    splits = read_table(workspace.splits_table)
    train = splits[splits["set"] == "train"]
    library = read_table(workspace.library_table)
    flagged = screening.screen(
        library[library["image"].isin(train["image"])],
        min_subject=limits.min_subject,
        min_sideways=limits.min_sideways,
    )
    worst = flagged.drop_duplicates("image")[["image", "flag", "score"]]
    rows = train.merge(worst, on="image", how="left").fillna({"flag": "", "score": 0.0})
    augmentation = Augmentation(**params.augmentation())
    page = augment_sheet(
        title="What training sees",
        facts={
            "image size": f"{image_size} pixels",
            "flip": "left to right" if params.flip else "no",
            "rotation": f"up to {params.rotate_degrees:g} degrees either way",
            "zoom": f"up to {params.zoom:.0%} in or out",
            "stronger": ", ".join(params.stronger) or "none",
        },
        rows=rows,
        read=lambda image: pictures.read(labels.locate(image, folders), image_size),
        views=lambda picture, may_flip: augmentation.extremes(picture, may_flip=may_flip),
        always_seen=augmentation.always_seen(image_size),
        no_flip=set(train.loc[~train["flip"], "label"]),
    )
    write_text(page, out)
    address = out.resolve().as_uri()
    return Answer(
        {"page": address, "flagged": len(flagged)},
        f"{len(flagged)} training pictures are flagged; look at {address}",
    )
