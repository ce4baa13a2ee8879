"""What training will see, as a page: originals beside the extremes of their augmentation."""

from pathlib import Path

from pipeline import bundle, config, paths, sections
from pipeline.files import read_table, write_text
from pipeline.library import labels, pictures, screening
from pipeline.pages.augmentation import augment_sheet
from pipeline.training.augmentation import Augmentation


def write(out: Path) -> int:
    """Writes the augment sheet of the round's training pictures; returns how many of them are flagged as endangered.

    Raises:
      DataError: if the data sets or the base are missing.
    """
    params, folders, limits = (
        config.load(sections.Train),
        config.load(sections.Roots).folders,
        config.load(sections.Dataset),
    )
    image_size = bundle.check(paths.BASE).image_size
    splits = read_table(paths.SPLITS / "splits.parquet")
    train = splits[splits["set"] == "train"]
    library = read_table(paths.INDEX / "library.parquet")
    flagged = screening.screen(
        library[library["image"].isin(train["image"])],
        min_subject=limits.min_subject,
        min_sideways=limits.min_sideways,
    )
    worst = flagged.drop_duplicates("image")[["image", "flag", "score"]]
    rows = train.merge(worst, on="image", how="left").fillna({"flag": "", "score": 0.0})
    augmentation = Augmentation(**params.augmentation())
    stronger = ", ".join(params.stronger) or "none"
    page = augment_sheet(
        title="What training sees",
        facts={
            "image size": f"{image_size} pixels",
            "flip": "left to right" if params.flip else "no",
            "rotation": f"up to {params.rotate_degrees:g} degrees either way",
            "zoom": f"up to {params.zoom:.0%} in or out",
            "stronger": stronger,
        },
        rows=rows,
        read=lambda image: pictures.read(labels.locate(image, folders), image_size),
        views=lambda picture, may_flip: augmentation.extremes(picture, may_flip=may_flip),
        always_seen=augmentation.always_seen(image_size),
        no_flip=set(train.loc[~train["flip"], "label"]),
    )
    write_text(page, out)
    return len(flagged)
