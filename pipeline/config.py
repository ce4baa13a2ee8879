"""The only reader of YAML: one frozen schema a section of `configs/params.yaml`, one for the presets."""

import difflib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator, model_validator

from pipeline.errors import UsageError

PARAMS = Path("configs/params.yaml")
PRESETS = Path("configs/models")
PIPELINE = Path("dvc.yaml")
FOR_PEOPLE = {"tensorboard", "cost_per_hour"}  # of section train: they change nothing that is learnt

Share = Annotated[float, Field(gt=0, lt=1)]
Positive = Annotated[int, Field(ge=1)]


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, allow_inf_nan=False)


class Roots(Section):
    """Folders of pictures, by name. Relative folders count from the repository, also inside a DVC experiment."""

    library: dict[str, Path]
    pool: dict[str, Path]
    benchmark: dict[str, Path] = {}

    @field_validator("library", "pool", "benchmark", mode="before")
    @classmethod
    def nothing_named_is_no_folder(cls, folders: Any) -> Any:
        return {} if folders is None else folders

    @model_validator(mode="after")
    def names_are_unique(self) -> "Roots":
        names = [*self.library, *self.pool, *self.benchmark]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two roots are called '{name}'")
            if not name or "/" in name or name.startswith("."):
                raise ValueError(f"'{name}' cannot name a root: no slash, no leading dot")
        return self

    @property
    def folders(self) -> dict[str, Path]:
        """Every root's absolute folder."""
        named = {**self.library, **self.pool, **self.benchmark}
        return {name: workspace() / folder.expanduser() for name, folder in named.items()}


class Index(Section):
    max_megapixels: Annotated[float, Field(gt=0, le=2000)]


class Curate(Section):
    min_images: Annotated[int, Field(ge=3)]
    max_images: Positive
    near_duplicate_distance: Annotated[int, Field(ge=0, le=16)]
    chain_distance: Annotated[int, Field(ge=0, le=64)]
    max_per_group: Positive
    min_side: Positive
    min_brightness: Annotated[float, Field(ge=0, lt=1)]
    min_contrast: Annotated[float, Field(ge=0, lt=1)]
    min_sharpness: Annotated[float, Field(ge=0)]
    max_aspect_ratio: Annotated[float, Field(ge=1)]

    @model_validator(mode="after")
    def cutoffs_are_in_order(self) -> "Curate":
        if self.max_images < self.min_images:
            raise ValueError(f"max_images {self.max_images} is below min_images {self.min_images}")
        if self.chain_distance < self.near_duplicate_distance:
            raise ValueError(
                f"chain_distance {self.chain_distance} is below near_duplicate_distance {self.near_duplicate_distance}"
            )
        return self


class Dataset(Section):
    min_subject: Annotated[float, Field(ge=0, lt=1)]
    min_sideways: Annotated[float, Field(ge=0, le=1)]
    pictures_per_class: Positive


class Split(Section):
    val: Share
    test: Share
    salt: Annotated[str, Field(min_length=1)]

    @model_validator(mode="after")
    def something_is_left_to_train_on(self) -> "Split":
        if self.val + self.test >= 0.9:
            raise ValueError(f"val and test together take {self.val + self.test:.2f}, at most 0.9")
        return self


class Train(Section):
    seed: Annotated[int, Field(ge=0)]
    batch_size: Positive | None  # None: auto
    max_epochs: Positive
    continued_max_epochs: Positive
    head: Literal["reset", "grow", "copy"]
    freeze: list[str]
    head_warmup_epochs: Annotated[int, Field(ge=0)]
    optimizer: Literal["adamw", "rmsprop"]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    continued_learning_rate: Annotated[float, Field(gt=0, le=1)]
    body_rate: Annotated[float, Field(gt=0, le=1)]
    warmup_epochs: Annotated[float, Field(ge=0)]
    decay: Literal["plateau", "cosine"]
    lr_patience: Positive
    patience: Positive
    min_delta: Annotated[float, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0, lt=1)]
    ema: Annotated[float, Field(ge=0, lt=1)]
    loss: Literal["cross_entropy", "focal"]
    focal_gamma: Annotated[float, Field(ge=0, le=10)]
    label_smoothing: Annotated[float, Field(ge=0, lt=1)]
    imbalance: Literal["none", "weights", "sampling"]
    max_class_weight: Annotated[float, Field(ge=1)]
    flip: bool
    rotate_degrees: Annotated[float, Field(ge=0, le=45)]
    zoom: Annotated[float, Field(ge=0, lt=1)]
    stronger: dict[str, dict[str, Any]]
    precision: Literal["float32", "mixed_bfloat16", "auto"]
    gpus: Annotated[int, Field(ge=0)]
    tensorboard: bool
    cost_per_hour: Annotated[float, Field(ge=0)]

    @field_validator("batch_size", mode="before")
    @classmethod
    def auto_is_told_by_the_machine(cls, size: Any) -> Any:
        if size is None:
            raise ValueError("a number, or auto")
        return None if size == "auto" else size

    @field_validator("freeze", mode="before")
    @classmethod
    def nothing_named_is_not_frozen(cls, prefixes: Any) -> Any:
        return [] if prefixes is None else prefixes

    @model_validator(mode="after")
    def epochs_are_left(self) -> "Train":
        limits = [("warmup_epochs", "max_epochs"), ("warmup_epochs", "continued_max_epochs")]
        for name, most in [*limits, ("head_warmup_epochs", "continued_max_epochs")]:
            if getattr(self, name) >= getattr(self, most):
                raise ValueError(f"{name} {getattr(self, name)} leaves nothing of {most} {getattr(self, most)}")
        return self

    def start(self, *, learnt: bool) -> dict[str, Any]:
        """What depends on whether the base has learnt already, as `fit` takes it."""
        if not learnt:
            return {"max_epochs": self.max_epochs, "learning_rate": self.learning_rate}
        continued = {"max_epochs": self.continued_max_epochs, "learning_rate": self.continued_learning_rate}
        return continued | {"head_warmup_epochs": self.head_warmup_epochs, "body_rate": self.body_rate}


def _digests(bundles: Any) -> Any:
    """A digest that is left out is empty here, and asked for where the bundle is read."""
    if not isinstance(bundles, dict):
        return bundles or {}
    for folder, digest in bundles.items():
        if isinstance(digest, int | float):  # what YAML makes of one without a letter
            raise ValueError(f"put the digest of {folder} in quotes")
    return {folder: digest or "" for folder, digest in bundles.items()}


Bundles = Annotated[dict[str, Annotated[str, Field(pattern="^([0-9a-f]{8,64})?$")]], BeforeValidator(_digests)]


class Evaluate(Section):
    ensemble: Bundles
    batch_size: Positive
    confidence: Annotated[float, Field(ge=0.6, lt=1)]
    precision: Share
    min_class_images: Positive
    audit_max_share: Annotated[float, Field(ge=0, le=1)]
    audit_ask_again_after: Positive
    worst_mistakes: Annotated[int, Field(ge=0)]


class Gate(Section):
    tolerance: Annotated[float, Field(ge=0, lt=1)]
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    min_images: Positive
    min_class_images: Positive
    max_latency_ms: Annotated[float, Field(ge=0)]
    max_size_mb: Annotated[float, Field(ge=0)]
    flips_shown: Annotated[int, Field(ge=0)]


class Identify(Section):
    ensemble: Bundles
    batch_size: Positive
    shard_rows: Positive
    top_k: Positive


class Queue(Section):
    low_count_below: Annotated[float, Field(ge=1)]
    low_count_score: Annotated[float, Field(ge=0, le=1)]
    look_alike_score: Annotated[float, Field(ge=0, le=1)]
    max_rows: Positive


class Reported(BaseModel):
    """What a paper says of a network: never mixed with what is measured here."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    top1: Share  # accuracy on ImageNet's validation set
    source: Annotated[str, Field(min_length=1)]


class Preset(Section):
    """One architecture preset: a file of `configs/models/`."""

    architecture: str
    image_size: Positive
    options: dict[str, Any] = {}
    reported: Reported | None = None


AnySection = TypeVar("AnySection", bound=Section)


def workspace() -> Path:
    """The repository: `dvc exp run --temp` runs stages in a copy and names the real one in DVC_ROOT."""
    return Path(os.environ.get("DVC_ROOT", ".")).absolute()


def cache(name: str) -> Path:
    """A file or folder that is kept between runs, and can be deleted at any time."""
    return workspace() / ".wallaby" / name


def own(name: str) -> Path:
    """A folder of the copy of the repository that this process runs in: an experiment's is not the workspace's."""
    return Path(".wallaby").absolute() / name


def load(section: type[AnySection], path: Path = PARAMS) -> AnySection:
    """Reads and checks the section of `path` that is named like the class.

    Raises:
      UsageError: for unreadable YAML, a missing or unknown key, or a value out of range; the nearest name is offered.
    """
    values = _read_yaml(path)
    name = section.__name__.lower()
    known = {s.__name__.lower() for s in Section.__subclasses__() if s is not Preset}
    for key in values:
        if key not in known:
            raise UsageError(f"unknown section '{key}'", where=path, mend=nearest(key, known))
    if name not in values:
        raise UsageError(f"section '{name}' is missing", where=path, mend="take it from the version in git")
    return _check(section, values[name], f"{path}, section {name}")


def load_preset(name: str) -> Preset:
    """Reads `configs/models/NAME.yaml`.

    Raises:
      UsageError: if there is no such preset; the nearest name is offered.
    """
    path = PRESETS / f"{name}.yaml"
    if not path.is_file():
        raise UsageError(f"unknown preset '{name}'", where=PRESETS, mend=nearest(name, presets()))
    return _check(Preset, _read_yaml(path), str(path))


def presets() -> list[str]:
    return sorted(file.stem for file in PRESETS.glob("*.yaml"))


def set_root(kind: str, name: str, folder: Path, path: Path = PARAMS) -> None:
    """Names a folder of pictures in `path`, keeping its comments.

    Args:
      kind: library, pool or benchmark.

    Raises:
      UsageError: if the file would no longer be readable: a name that another root has, or that can name none.
    """
    load(Roots, path)
    with _edited(path) as document:
        roots = document["roots"]
        roots[kind] = roots.get(kind) or {}
        if name in roots[kind] or not roots[kind]:
            roots[kind][name] = str(folder)
        else:  # first: behind the last root lies the empty line before the next section
            roots[kind].insert(0, name, str(folder))
        _check(Roots, {key: dict(folders or {}) for key, folders in roots.items()}, f"{path}, section roots")


def changed(section: type[AnySection], values: dict[str, Any], path: Path = PARAMS) -> AnySection:
    """Reads a section as `load` does, with other values for some of its keys.

    Raises:
      UsageError: for an unknown key, the nearest is offered, or a value out of range.
    """
    load(section, path)
    name = section.__name__.lower()
    return _check(section, _read_yaml(path)[name] | values, f"section {name}")


def write(changes: dict[str, dict[str, Any]], path: Path) -> None:
    """Puts other values, by section and key, into `path`, keeping its comments."""
    with _edited(path) as document:
        for section, values in changes.items():
            document[section].update(values)


def read_value(text: str) -> Any:
    """A value as it would be written in the params.

    Raises:
      UsageError: if it is not readable as YAML.
    """
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        raise UsageError(f"not readable as YAML: {text}", mend="write it as in configs/params.yaml") from None


def dependencies(stages: list[str]) -> list[Path]:
    """What the stages read, by `dvc.yaml`, and none of them writes."""
    known = _read_yaml(PIPELINE)["stages"]
    written = [Path(out) for name in stages for out in known[name].get("outs", []) if isinstance(out, str)]
    read = {Path(dependency) for name in stages for dependency in known[name]["deps"]}
    return sorted(read - set(written))


def nearest(word: str, known: list[str] | set[str]) -> str:
    """The advice for a mistyped name."""
    close = difflib.get_close_matches(str(word), sorted(known), n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(sorted(known)[:20])}"


@contextmanager
def _edited(path: Path) -> Iterator[Any]:
    """Yields the document in `path`, and writes what became of it, comments kept."""
    from ruamel.yaml import YAML

    from pipeline.files import atomic

    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4096
    document = editor.load(path.read_text(encoding="utf-8"))
    yield document
    with atomic(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        editor.dump(document, file)


class _UniqueKeys(yaml.SafeLoader):
    """Refuses a key that stands twice; YAML would take the last one in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            name = str(key.value)
            if name in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{name}' stands twice", key.start_mark)
            seen.add(name)
        return super().construct_mapping(node, deep)


def _read_yaml(path: Path) -> dict:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _UniqueKeys)
    except FileNotFoundError:
        raise UsageError("the params file is missing", where=path, mend="run from the top of the repository") from None
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"not readable as YAML: {error.problem}", where=f"{path}{line}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"not readable as YAML: {error}", where=path) from None
    if not isinstance(values, dict):
        raise UsageError("the file holds no sections", where=path, mend="take it from the version in git")
    return values


def _check(schema: type[AnySection], values: Any, where: str) -> AnySection:
    try:
        return schema.model_validate(values or {})
    except ValidationError as error:
        unknown = [fault for fault in error.errors() if fault["type"] == "extra_forbidden"]
        first = (unknown or error.errors())[0]  # a mistyped key is missing too: name the slip
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UsageError(f"unknown key '{key}'", where=where, mend=nearest(key, set(schema.model_fields))) from None
        if first["type"] == "missing":
            raise UsageError(f"key '{key}' is missing", where=where, mend="take it from the version in git") from None
        reason = first["msg"].removeprefix("Value error, ")
        got = f"{key} is {first['input']!r}: " if key else ""
        raise UsageError(f"{got}{reason[0].lower()}{reason[1:]}", where=where) from None
