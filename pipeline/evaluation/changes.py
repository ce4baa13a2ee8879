"""What changed between a round and its parent, and whether it got better: the note that MLflow shows of a run."""

from collections.abc import Iterable, Mapping
from typing import Any

from pipeline.evaluation import headline

NAMED = 12  # classes in a line
COUNTED = (headline.CLASSES, *(f"{headline.IMAGES}_{name}" for name in headline.SETS))
# They change in every round, or say again what the note says in other words.
NOT_SETTINGS = {
    headline.ROUND,
    headline.PARENT,
    headline.DATA,
    headline.RECIPE_DIGEST,
    headline.IMAGES,
    *COUNTED,
    "continued_max_epochs",  # what is in force stands in max_epochs and learning_rate
    "continued_learning_rate",
}


def note(
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    *,
    classes_before: Iterable[str],
    classes: Iterable[str],
) -> str:
    """What changed since the parent, in Markdown: classes, images and settings.

    Args:
      before, after: parameters and recipe of both, as one (`headline.parameters`, and every setting); of a parent that
        nobody knows any more, nothing.
      classes_before, classes: the names of the classes of both.
    """
    then, now = set(classes_before), set(classes)
    lines = [f"**Since {after[headline.PARENT]}**", ""]
    if not then:
        lines.append(f"* the first round: {len(now)} classes")
    elif then == now:
        lines.append(f"* the same {len(now)} classes")
    else:
        changes = [("new", sorted(now - then)), ("gone", sorted(then - now))]
        named = [f"{kind}: {_listed(names)}" for kind, names in changes if names]
        lines.append(f"* classes: {len(then)} → {len(now)}; {'; '.join(named)}")
    counts = [_count(name, before, after) for name in headline.SETS]
    lines.append(f"* images: {', '.join(counts)}")
    if before:
        settings = sorted((before.keys() & after.keys()) - NOT_SETTINGS)
        changed = [(key, _plain(before[key]), _plain(after[key])) for key in settings]
        changed = [(key, old, new) for key, old, new in changed if old != new]
        lines += [f"* `{key}`: {old} → {new}" for key, old, new in changed]
        if not changed:
            lines.append("* the same settings")
    return "\n".join(lines)


def results(metrics: Mapping[str, float], counts: Mapping[str, int], before: Mapping[str, float]) -> str:
    """Whether it got better: a Markdown table of each accuracy, its images, the parent's, and the difference.

    Without accuracies there is no table.

    Args:
      metrics, counts: `headline.metrics` and `headline.counts`.
      before: the parent's metrics.
    """
    rows = []
    for name in sorted(metrics, key=lambda name: (not name.startswith("test"), name)):
        if not name.endswith(headline.ACCURACY):
            continue
        now, then = metrics[name], before.get(name)
        images = counts.get(headline.images_of(name), 0)
        parent, difference = ("", "") if then is None else (f"{then:.1%}", f"{now - then:+.1%}")
        rows.append(f"| {name} | {images:,} | {parent} | {now:.1%} | {difference} |")
    heading = ["| accuracy | images | parent | now | difference |", "|---|---|---|---|---|"]
    return "\n".join([*heading, *rows] if rows else [])


def _count(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    key = f"{headline.IMAGES}_{name}"
    now = int(after[key])
    return f"{name} {int(before[key]):,} → {now:,}" if key in before else f"{name} {now:,}"


def _plain(value: Any) -> str:
    """A value as text, whether it comes from a store, from JSON or from the params."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
