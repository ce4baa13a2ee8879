"""A model's outputs for evaluated sets: what it says of each content, so that nothing is inferred twice.

A store by content, whose shards have `log_probs` and `features` beside them. A new threshold, temperature or merge of
classes needs these alone, and so does a corrected benchmark.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.errors import DataError
from pipeline.evaluation import scores
from pipeline.inference import evaluated, store
from pipeline.inference.reading import read_batches
from pipeline.inference.runtimes import Runtime
from pipeline.inference.shards import ARRAYS, FEATURES, LOG_PROBS, as_lists
from pipeline.progress import bar

SHARD_BATCHES = 32  # between two shards; an interrupted run loses at most so much


def complete(
    folder: Path, sha256: pd.Series, paths: list[Path], *, runtime: Runtime, batch_size: int
) -> evaluated.Outputs:
    """Makes `folder` hold the outputs of exactly these images, and returns them in this order.

    Only those that it lacks are inferred; an interrupted run is continued.

    Args:
      sha256, paths: of each image, its content hash and its file.

    Raises:
      DataError: if a picture can no longer be read, or the model says of one what is no probability.
    """
    stored = store.Store(folder, runtime.key, by=store.BY_CONTENT, arrays=ARRAYS)
    images = pd.DataFrame({"sha256": sha256.to_numpy(), "path": paths}).drop_duplicates("sha256")
    keys = store.content_keys(images)
    _infer(images[~store.among(keys, stored.done())], stored, runtime, batch_size)
    stored.keep_only(np.sort(keys))
    return evaluated.read(folder, sha256)


def _infer(images: pd.DataFrame, out: store.Store, runtime: Runtime, batch_size: int) -> None:
    paths = list(images["path"])
    waiting: list[pd.DataFrame] = []
    place = 0
    with bar("evaluate", len(paths)) as progress:
        for number, (pixels, failures) in enumerate(read_batches(paths, runtime.image_sizes, batch_size), 1):
            for position, failure in enumerate(failures):
                if failure:
                    raise DataError(
                        f"a picture changed since it was indexed: {failure}",
                        where=paths[place + position],
                        mend="run `dvc repro` again",
                    )
            probs, features = runtime.predict_with_features(*pixels)
            some = slice(place, place + len(probs))
            _refuse_no_numbers(probs, paths[some])
            arrays = {LOG_PROBS: as_lists(scores.to_log_probs(probs)), FEATURES: as_lists(features)}
            waiting.append(images[["sha256"]][some].reset_index(drop=True).assign(**arrays))
            place = some.stop
            progress.update(len(probs))
            if number % SHARD_BATCHES == 0 or place == len(paths):
                out.append(pd.concat(waiting, ignore_index=True))
                waiting.clear()


def _refuse_no_numbers(probs: np.ndarray, paths: list[Path]) -> None:
    bad = ~np.isfinite(probs).all(axis=1)
    if bad.any():
        named = [str(path) for path, wrong in zip(paths, bad, strict=True) if wrong]
        raise DataError(
            f"the model gives no numbers (NaN) for {len(named)} of {len(paths)} images",
            where=f"{'; '.join(named[:3])}{'; ...' if len(named) > 3 else ''}",
            mend="its weights are spoilt: train again, with a lower learning rate or in float32",
        )
