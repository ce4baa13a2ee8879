"""Writes round 0: a network that has seen none of the library's images."""

from pathlib import Path

from pipeline import bundle
from pipeline.commands import Answer, warn
from pipeline.errors import UsageError
from pipeline.files import atomic_folder
from pipeline.library import history, lineage
from pipeline.repository import dvc
from pipeline.sections import Preset
from pipeline.serving import champions
from pipeline.workspace import Workspace


def write(
    workspace: Workspace,
    preset_name: str,
    *,
    out: Path | None = None,
    weights: str = "random",
    seed: int = 0,
    replace: bool = False,
    dry_run: bool = False,
) -> Answer:
    """Writes a base of round 0, and puts the workspace's own under DVC, with the champion's folder.

    Args:
      out: the base's folder; by default the workspace's.
      weights: where its weights come from: see `presets.build`.
      replace: whether a base that is there may be replaced; what it has learnt is forgotten.

    Raises:
      UsageError: for an unknown preset, weights that do not fit it, or if there is a base and `replace` is not given.
      DataError: if the weights cannot be read.
    """
    out = out or workspace.base
    is_the_base = out.resolve() == workspace.base.resolve()
    if out.exists() and not replace:
        raise UsageError(
            "there is a base already",
            where=out,
            mend="`wallaby promote` opens the next round; --replace starts again, and forgets what the base has learnt",
        )
    if is_the_base:
        warn(dvc.warnings_of_replacing(workspace.root, out))
    preset = workspace.preset(preset_name)
    if dry_run:
        text = f"would write {out}: {preset_name}, {preset.image_size} pixels, {weights} weights"
        return Answer({"preset": preset_name, "image_size": preset.image_size, "replaces": out.exists()}, text)
    card = make(preset_name, preset, out, seed=seed, weights=weights, cache=workspace.cache("hub"))
    if is_the_base:
        dvc.track(workspace.root, workspace.base)
        if champions.open_released(workspace.released):
            dvc.track(workspace.root, workspace.released)
    return Answer(card, f"{out}: {card.preset}, {card.image_size} pixels, {weights} weights")


def make(preset_name: str, preset: Preset, out: Path, *, seed: int, weights: str, cache: Path) -> bundle.Card:
    """Builds the network and saves it as a bundle of round 0. Its one output is replaced in round 1.

    Args:
      weights, cache: see `presets.build`.

    Raises:
      UsageError: for weights that do not fit the preset.
      DataError: if the weights cannot be read.
    """
    from pipeline.models import presets

    model = presets.build(preset, num_classes=1, seed=seed, weights=weights, cache=cache)
    card = bundle.Card(preset_name, preset.image_size, pretrained=presets.pretrained(weights))
    with atomic_folder(out) as new:
        card = bundle.save(bundle.Bundle(model, [], card, lineage.empty()), new)
        history.write(new, *history.empty())
    return card
