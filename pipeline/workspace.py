"""A repository of rounds: every file by name, its params, its caches, and what the environment says of the process."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pipeline import config, sections
from pipeline.errors import UsageError
from pipeline.sections import Preset, Section

AnySection = TypeVar("AnySection", bound=Section)

RELATIVE_SQLITE = re.compile(r"(sqlite:///)(?!/)(.+)")


class Workspace:
    """One repository, or an isolated copy of one in which an experiment runs.

    Args:
      root: the folder with `configs/params.yaml`, absolute or relative to the working directory. All file names begin
        with it, so that messages show names that the user's shell understands.
      home: the repository that a copy was made of. Images and shared caches belong to it. By default the root itself.
      experiment: the experiment's name; "" outside one. What a copy makes is throw-away.
    """

    def __init__(self, root: Path, *, home: Path | None = None, experiment: str = ""):
        self.root = root
        self.home = Path(os.path.abspath(home or root))  # without `..`: MLflow keeps the address of its files
        self.experiment = experiment
        data = root / "data"

        self.params_file = root / config.PARAMS
        self.presets_folder = root / config.PRESETS
        self.pipeline_file = root / "dvc.yaml"

        self.labels = data / "labels.csv"
        self.classes = data / "classes.csv"
        self.benchmarks = data / "benchmarks"
        self.reviews = data / "reviews"
        self.rounds = data / "rounds"
        self.replaced = data / "replaced.csv"
        self.quarantine = data / "quarantine.csv"
        self.root_losses = data / "roots.csv"
        self.base = data / "base"
        self.released = data / "released"
        self.champions = data / "champions"
        self.demo = data / "demo"

        self.index = data / "index"
        self.library_table = self.index / "library.parquet"
        self.pool_table = self.index / "pool.parquet"
        self.looks = self.index / "looks.parquet"
        self.quarantined_table = self.index / "quarantined.parquet"
        self.library_features = data / "embed" / "library"
        self.pool_features = data / "embed" / "pool"
        self.pool_bursts = data / "embed" / "pool-bursts.parquet"
        self.curated = data / "curated"
        self.curated_images = self.curated / "images.parquet"
        self.excluded = self.curated / "excluded.parquet"
        self.bursts = self.curated / "bursts.parquet"
        self.burst_links = self.curated / "links.parquet"
        self.board = self.curated / "board.csv"
        self.splits = data / "splits"
        self.splits_table = self.splits / "splits.parquet"
        self.nearest = self.splits / "nearest.parquet"
        self.left_out = self.splits / "left_out.parquet"
        self.dataset = data / "dataset"
        self.model = data / "model"
        self.evaluation = data / "evaluation"
        self.scores = self.evaluation / "scores.parquet"
        self.thresholds = self.evaluation / "thresholds.json"
        self.latency = self.evaluation / "latency.json"
        self.gate = data / "gate"
        self.verdict = self.gate / "gate.json"
        self.tries = data / "tries.csv"
        self.predictions = data / "predictions"
        self.judged_bursts = data / "judged_bursts.parquet"
        self.queue = data / "queue"
        self.round = data / "round.json"
        self.export = data / "export"
        self.serving_report = data / "serving" / "report.html"

        self.index_cache = self.cache("index.parquet")
        self.labels_lock = self.own("labels.lock")

    @classmethod
    def find(cls, environment: Mapping[str, str] = os.environ) -> "Workspace":
        """The workspace that the working directory lies in: the nearest folder above with `configs/params.yaml`.

        An experiment of DVC, and a copy that a throw-away run or an ablation works in, are told apart by DVC_ROOT (the
        repository) and DVC_EXP_NAME (the experiment's name).

        Raises:
          UsageError: if no folder above has params.
        """
        here = Path.cwd()
        for steps, folder in enumerate([here, *here.parents]):
            if (folder / config.PARAMS).is_file():
                home = Path(environment.get("DVC_ROOT", folder))
                return cls(Path(*[".."] * steps), home=home, experiment=environment.get("DVC_EXP_NAME", ""))
        raise UsageError(
            f"no folder above has {config.PARAMS}",
            where=here,
            mend="change to a repository, or make one: wallaby new DIR",
        )

    @property
    def throwaway(self) -> bool:
        """Whether this is an experiment's copy: its model is never a base and never a champion."""
        return bool(self.experiment)

    def params(self, section: type[AnySection]) -> AnySection:
        """Reads and checks a section of the params; paths of the service count from the repository.

        Raises:
          UsageError: see `config.load`.
        """
        return self._located(config.load(section, self.params_file))

    def changed_params(self, section: type[AnySection], values: dict) -> AnySection:
        """The section with other values for some of its keys.

        Raises:
          UsageError: see `config.changed`.
        """
        return self._located(config.changed(section, values, self.params_file))

    def preset(self, name: str) -> Preset:
        """Reads a preset of `configs/models`.

        Raises:
          UsageError: if there is no such preset; the nearest name is offered.
        """
        return config.load_preset(name, self.presets_folder)

    def presets(self) -> list[str]:
        return config.presets(self.presets_folder)

    def preset_size(self, name: str) -> int | None:
        """The image size in pixels that a preset asks for; None if there is no such preset (any more)."""
        return self.preset(name).image_size if name in self.presets() else None

    @property
    def folders(self) -> dict[str, Path]:
        """The absolute folder of each root, by name."""
        named = self.params(sections.Roots).named
        return {name: self.home / folder.expanduser() for name, folder in named.items()}

    @property
    def root_names(self) -> list[str]:
        return list(self.params(sections.Roots).named)

    @property
    def near_duplicate_distance(self) -> int:
        """Bits by which the perceptual hashes of near-duplicates differ, at most."""
        return self.params(sections.Curate).near_duplicate_distance

    @property
    def confidence(self) -> float:
        """Of every interval, two-sided."""
        return self.params(sections.Evaluate).confidence

    def cache(self, name: str) -> Path:
        """A file or folder that is kept between runs, shared by all copies, and can be deleted at any time."""
        return self.home / ".wallaby" / name

    def own(self, name: str) -> Path:
        """A file or folder of this copy alone."""
        return Path(os.path.abspath(self.root)) / ".wallaby" / name

    def _located(self, values: AnySection) -> AnySection:
        if not isinstance(values, sections.Serve):
            return values
        files = {name: self.home / getattr(values, name) for name in ("spool", "keys", "pictures")}
        store = RELATIVE_SQLITE.sub(lambda match: f"{match[1]}{self.home / match[2]}", values.store)
        shadow = str(self.home / values.shadow) if values.shadow else ""
        return values.model_copy(update={**files, "store": store, "shadow": shadow})
