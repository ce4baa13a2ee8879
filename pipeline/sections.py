"""The params: one frozen schema a section of `configs/params.yaml`, and that of a preset."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

# Keys of section train; all others are settings of the training itself.
FOR_PEOPLE = {"tensorboard", "cost_per_hour"}  # they change nothing that is learnt
AUGMENTATION = {"flip", "rotate_degrees", "zoom", "stronger"}
NETWORK = {"head", "freeze", "members"}
MACHINE = {"batch_size", "precision", "gpus"}
CONTINUED = {"continued_max_epochs", "continued_learning_rate"}  # in the place of the first round's

Share = Annotated[float, Field(gt=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[int, Field(ge=1)]
PositiveFloat = Annotated[float, Field(gt=0)]


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
    def named(self) -> dict[str, Path]:
        """The folder of each root as it is written."""
        return {**self.library, **self.pool, **self.benchmark}


class Index(Section):
    max_megapixels: Annotated[float, Field(gt=0, le=2000)]
    max_missing: Annotated[float, Field(ge=0, le=1)]


LIMITS = {"min_side", "min_brightness", "min_contrast", "min_sharpness", "max_aspect_ratio"}  # of a picture's quality


class Bursts(Section):
    names: bool
    seconds: Annotated[float, Field(ge=0, le=86_400)]
    false_links: Annotated[float, Field(gt=0, le=0.2)]
    max_share: Share
    neighbourhoods: bool

    def ties(self) -> dict[str, Any]:
        """What `bursts.Settings` takes."""
        return self.model_dump(exclude={"neighbourhoods"})


class Curate(Section):
    count: Literal["images", "bursts"]
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

    def limits(self) -> dict[str, Any]:
        """What `quality.verdicts` takes."""
        return self.model_dump(include=LIMITS)


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
    members: Annotated[int, Field(ge=1, le=20)]
    monitor: Literal["loss", "top1", "top5", "macro_f1", "weighted_f1", "log_loss"]
    batch_size: Positive | None  # None: auto
    max_epochs: Positive
    continued_max_epochs: Positive
    head: Literal["reset", "grow"]
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

    def augmentation(self) -> dict[str, Any]:
        """What `Augmentation` takes."""
        return self.model_dump(include=AUGMENTATION)

    def training(self, *, learnt: bool) -> dict[str, Any]:
        """What `TrainSettings` takes, for a base that has learnt already or one that has not: every key left."""
        settings = self.model_dump(exclude=AUGMENTATION | NETWORK | MACHINE | CONTINUED | FOR_PEOPLE)
        if not learnt:
            return settings | {"head_warmup_epochs": 0, "body_rate": 1.0}
        return settings | {"max_epochs": self.continued_max_epochs, "learning_rate": self.continued_learning_rate}


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


class Goal(Section):
    benchmark: str = ""
    right: Share = 0.95
    shown: Annotated[float, Field(gt=0, le=1)] = 0.7


class Gate(Section):
    metric: Literal["top1", "top5", "macro_f1", "weighted_f1", "log_loss"] = "top1"
    tolerance: Annotated[float, Field(ge=0, lt=1)]
    benchmark_tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.05
    shown_tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.1
    new_class_right: Annotated[float, Field(ge=0, lt=1)] = 0.5
    confidence: Annotated[float, Field(ge=0.5, lt=1)]
    min_images: Positive
    min_class_images: Positive
    max_latency_ms: Annotated[float, Field(ge=0)]
    max_size_mb: Annotated[float, Field(ge=0)]
    flips_shown: Annotated[int, Field(ge=0)]


class Identify(Section):
    ensemble: Bundles
    runtime: Literal["auto", "keras", "openvino", "openvino-bf16", "openvino-int8", "onnx"]
    min_agreement: Annotated[float, Field(gt=0, le=1)]
    trial_confidence: Annotated[float, Field(ge=0.5, lt=1)]
    trial_images: Annotated[int, Field(ge=2)]
    engine: Literal["local", "ray"]
    ray_address: str
    ray_workers: Annotated[int, Field(ge=0)]
    ray_cpus: Annotated[int, Field(ge=0)]
    remote_roots: dict[str, Annotated[str, Field(pattern="^[a-z][a-z0-9+.-]*://.")]]
    batch_size: Positive
    shard_rows: Positive
    top_k: Positive
    embeddings: bool

    def limits(self) -> dict[str, Any]:
        """What `Limits` takes."""
        return {
            "min_agreement": self.min_agreement,
            "confidence": self.trial_confidence,
            "images": self.trial_images,
        }

    def predicting(self) -> dict[str, Any]:
        """What every engine takes."""
        return self.model_dump(include={"batch_size", "shard_rows", "top_k", "embeddings"})

    def ray(self) -> dict[str, Any] | None:
        """What the engine ray takes beside it; None where this machine does the work."""
        if self.engine != "ray":
            return None
        return {
            "address": self.ray_address,
            "workers": self.ray_workers,
            "cpus": self.ray_cpus,
            "urls": self.remote_roots,
        }


class Embed(Section):
    model: Annotated[str, Field(min_length=1)]
    weights: str
    runtime: Literal["auto", "keras", "openvino", "openvino-bf16", "openvino-int8", "onnx"]
    min_cosine: Annotated[float, Field(gt=0, le=1)]
    trial_images: Annotated[int, Field(ge=2)]
    batch_size: Positive
    shard_rows: Positive
    image_size: Annotated[int, Field(ge=0, le=4096)]
    mean: tuple[float, float, float]
    std: tuple[PositiveFloat, PositiveFloat, PositiveFloat]
    output: str


class Queue(Section):
    max_rows: Positive
    low_count_below: Annotated[float, Field(ge=1)]
    low_count_score: Probability
    replace_staged_share: Probability
    replace_staged_score: Probability
    look_alike_score: Probability
    look_alike_images: Annotated[int, Field(ge=1, le=20_000)]
    unknown_beside: Annotated[int, Field(ge=0, le=50)]
    disagree_score: Probability
    purge_far: Share
    purge_images: Annotated[int, Field(ge=1, le=20_000)]
    purge_score: Probability
    purge_share: Probability
    purge_sample: Annotated[int, Field(ge=10)]


class Serve(Section):
    store: Annotated[str, Field(min_length=1)]
    spool: Path
    runtime: Literal["auto", "keras", "openvino", "openvino-bf16", "openvino-int8", "onnx"]
    batch_size: Positive
    top_k: Positive
    shadow: str
    look_seconds: Annotated[float, Field(gt=0)]
    max_megabytes: Annotated[float, Field(gt=0)]
    max_megapixels: Annotated[float, Field(gt=0, le=2000)]
    max_pictures: Positive
    max_waiting: Positive
    max_megabytes_at_once: Annotated[float, Field(gt=0)]
    max_connections: Positive
    body_seconds: Annotated[float, Field(gt=0)]
    answer_seconds: Annotated[float, Field(gt=0)]
    allowed_urls: list[Annotated[str, Field(pattern=r"^https?://[^/?#@\s]+/")]]
    keys: Path
    per_minute: Annotated[float, Field(gt=0)]
    pictures: Path
    pictures_share: Probability
    keep_days: Annotated[int, Field(ge=0)]

    def bounds(self) -> dict[str, Any]:
        """What the addresses take."""
        return self.model_dump(
            include={"max_megabytes", "max_megabytes_at_once", "body_seconds", "max_pictures", "allowed_urls"}
        )


class Throwaway(Section):
    least_score: Share
    max_rows: Positive


class Review(Section):
    blind_share: Annotated[float, Field(ge=0, le=1)]


class Report(Section):
    reference_days: Annotated[float, Field(gt=0)]
    reviewer_cost_per_hour: Annotated[float, Field(ge=0)]
    machine_cost_per_hour: Annotated[float, Field(ge=0)]
    minutes_by_hand: Annotated[float, Field(ge=0)]

    def prices(self) -> dict[str, float]:
        """What an hour of a person and of the machine costs, and how long an answer by hand takes."""
        return self.model_dump(exclude={"reference_days"})


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
