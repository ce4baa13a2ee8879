"""Images by their content, from the index: a picture that was renamed or moved is found again by its hash."""

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset

from pipeline import paths
from pipeline.errors import DataError

TABLES = ["library", "pool"]


def of_images(images: list[str]) -> dict[str, str]:
    """The content hash of each image that is indexed."""
    found = _indexed("image", images)
    return dict(zip(found["image"], found["sha256"], strict=True))


def images_of(hashes: list[str]) -> pd.DataFrame:
    """The images with these contents: columns `image`, `sha256`, sorted by image."""
    return _indexed("sha256", [name for name in hashes if name])


def _indexed(column: str, values: list[str]) -> pd.DataFrame:
    files = [paths.INDEX / f"{name}.parquet" for name in TABLES]
    for file in files:
        if not file.exists():
            raise DataError("the index is missing", where=file, mend="run `dvc repro index`, or `dvc checkout`")
    wanted = pc.field(column).isin(pa.array(sorted(set(values)), pa.large_string()))
    table = pyarrow.dataset.dataset([str(file) for file in files]).to_table(["image", "sha256"], filter=wanted)
    return table.to_pandas().sort_values("image", ignore_index=True)
