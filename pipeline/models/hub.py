"""Any TensorFlow Hub feature vector as the body of a network, and where its SavedModel comes from."""

import gzip
import shutil
import socket
import sys
import tarfile
import warnings
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError

import keras
from keras import layers

from pipeline.errors import DataError, UsageError, closest
from pipeline.files import atomic_folder, digest
from pipeline.models.head import FEATURES, add_head
from pipeline.models.hub_layer import GRAPH, HubLayer, SavedModel, register

TF1_FORMAT = "tfhub_module.pb"
TIMEOUT = 10  # seconds without an answer; without one, a network that swallows packets is waited for without end


def hub(
    *,
    image_size: int = 224,
    num_classes: int = 1000,
    handle: str,
    cache: Path | None = None,
    input_range: Sequence[float] = (0.0, 1.0),
    output_key: str = "",
    dropout: float = 0.2,
    name: str = "hub",
) -> keras.Model:
    """Returns a module's features under a head: pixels (N, S, S, 3) in [0, 255] to probabilities (N, num_classes).

    Args:
      image_size: side S of the square input, in pixels; many modules take one size only.
      handle, cache: of the module: see `fetch`.
      input_range: of the pixels that the module was made for; TensorFlow Hub's image modules want (0, 1).
      output_key: which of the module's outputs, where it gives several by name.
      dropout: share of features dropped before the head.

    Raises:
      UsageError: if the module takes no pictures of this size, or several of its outputs could be meant.
      DataError: if it gives no feature vector; and as `fetch`.
    """
    folder = fetch(handle, cache)
    module = SavedModel(folder)
    refuse_another_input(module, image_size, where=folder)
    output_key = feature_vector(module, output_key, where=folder)
    low, high = input_range
    pixels = keras.Input((image_size, image_size, 3), name="pixels")
    x = layers.Rescaling((high - low) / 255, offset=low, name="scale")(pixels)
    x = HubLayer(register(folder), output_key, name="hub")(x)
    x = layers.Dropout(dropout, name=FEATURES)(x)
    return keras.Model(pixels, add_head(x, num_classes), name=name)


def fetch(handle: str, cache: Path | None = None) -> Path:
    """Returns the folder of a module's SavedModel.

    Args:
      handle: an address (tfhub.dev, Kaggle, or that of a .tar.gz; kept in TFHUB_CACHE_DIR), a folder, or a .tar.gz.
      cache: the folder in which a .tar.gz is unpacked, once; only that needs it.

    Raises:
      UsageError: if there is no such module, or no network to fetch it.
      DataError: if what is there is no SavedModel.
    """
    path = Path(handle.removeprefix("file://")).expanduser()
    if "://" in handle.removeprefix("file://"):
        folder = _download(handle)
    elif path.is_file():
        if cache is None:
            raise ValueError(f"{path} cannot be unpacked without a cache")
        folder = _unpack(path, cache / digest(path)[:16])
    elif path.is_dir():
        folder = path
    else:
        raise UsageError(
            "there is no such module",
            where=path,
            mend="a folder with a SavedModel, its .tar.gz, or an address: https://...",
        )
    if (folder / TF1_FORMAT).exists():
        raise DataError(
            "the module is of the TF1 hub format", where=folder, mend="take its version for TensorFlow 2, a SavedModel"
        )
    if not (folder / GRAPH).is_file():
        raise DataError(
            f"there is no SavedModel: no {GRAPH}", where=folder, mend="name the folder that holds it, and `variables`"
        )
    return folder


def refuse_another_input(module: SavedModel, image_size: int, *, where: object) -> None:
    """Raises UsageError if the module does not take batches of square colour images of this size."""
    wanted = (None, image_size, image_size, 3)
    specs = module.inputs
    if any(
        spec.dtype.is_floating and _is_batch(spec.shape) and spec.shape.is_compatible_with(wanted) for spec in specs
    ):
        return
    taken = " or ".join(sorted({f"{spec.dtype.name} {spec.shape}" for spec in specs})) or "no array"
    sizes = {spec.shape[1] for spec in specs if spec.shape.rank == 4 and spec.shape[1] == spec.shape[2]}
    sizes -= {None, image_size}
    raise UsageError(
        f"the module takes {taken}, not float32 {wanted}",
        where=where,
        mend=f"set the preset's image_size to {max(sizes)}" if sizes else "take a feature vector of images",
    )


def feature_vector(module: SavedModel, output_key: str, *, where: object) -> str:
    """The name of the output to take: the one asked for, or else the only one that is a vector a picture.

    Raises:
      UsageError: for an output the module does not have (the nearest is offered), or if several could be meant.
      DataError: if there is no vector a picture.
    """
    outputs = module.outputs
    if output_key and output_key not in outputs:
        raise UsageError(
            f"the module has no output '{output_key}'",
            where="options.output_key",
            mend=closest(output_key, set(outputs)),
        )
    vectors = [name for name, spec in outputs.items() if _is_vector(spec) and output_key in ("", name)]
    if not vectors:
        shapes = ", ".join(f"{name} {getattr(spec, 'shape', spec)}".strip() for name, spec in sorted(outputs.items()))
        raise DataError(f"the module gives no feature vector (N, F) but {shapes}", where=where)
    if len(vectors) > 1:
        raise UsageError(
            f"the module gives several vectors: {', '.join(sorted(vectors))}",
            where=where,
            mend="name one in the preset: options, output_key",
        )
    return vectors[0]


def _is_batch(shape) -> bool:
    return shape.rank is None or (shape.rank > 0 and shape[0] is None)


def _is_vector(spec) -> bool:
    shape = getattr(spec, "shape", None)
    return shape is not None and shape.rank == 2 and shape[1] is not None


def _download(handle: str) -> Path:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="pkg_resources is deprecated")
        import tensorflow_hub
    print(f"fetching {handle}", file=sys.stderr, flush=True)
    try:
        with _timeout(TIMEOUT):
            return Path(tensorflow_hub.resolve(handle))
    except HTTPError as error:
        raise UsageError(
            f"the server answers {error.code} {error.reason}", where=handle, mend="check the handle"
        ) from None
    except OSError as error:
        raise UsageError(
            f"the module cannot be fetched: {getattr(error, 'reason', error)}",
            where=handle,
            mend="where there is no network, copy the module's folder or .tar.gz here and name that",
        ) from None
    except (EOFError, ValueError, zlib.error, tarfile.TarError) as error:
        raise DataError(f"what the server sends is no module: {error}", where=handle, mend="check the handle") from None


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _unpack(archive: Path, folder: Path) -> Path:
    """The folder with the SavedModel of an archive, unpacked once; TensorFlow Hub unpacks only what it fetches."""
    if not folder.exists():
        try:
            with atomic_folder(folder) as new:
                _extract(archive, new.resolve())
        except (tarfile.TarError, EOFError, zlib.error) as error:
            reason = str(error).partition(": -")[0]
            raise DataError(f"the archive cannot be unpacked: {reason}", where=archive, mend="fetch it again") from None
    found = sorted(folder.rglob(GRAPH))
    return found[0].parent if len(found) == 1 else folder


def _extract(archive: Path, folder: Path) -> None:
    """Its plain files only, and none outside `folder`; the filters of `tarfile` came with Python 3.11.4."""
    with tarfile.open(archive) as packed:
        for member in filter(tarfile.TarInfo.isfile, packed):
            target = (folder / member.name).resolve()
            if not target.is_relative_to(folder):
                raise tarfile.TarError(f"'{member.name}' would lie outside of it")
            target.parent.mkdir(parents=True, exist_ok=True)
            with packed.extractfile(member) as content, target.open("wb") as file:  # type: ignore[union-attr]
                try:
                    shutil.copyfileobj(content, file)
                except gzip.BadGzipFile as error:  # an OSError by its kind, but none of the system
                    raise tarfile.TarError(str(error)) from None
