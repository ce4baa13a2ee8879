"""`wallaby upgrade`: brings a repository up to the installed program, so that nothing runs again that need not."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline import config, stages
from pipeline.commands import Answer
from pipeline.files import write_text
from pipeline.repository import lock, params, template
from pipeline.workspace import Workspace


@dataclass
class Plan:
    """What an upgrade writes, and what `dvc repro` will do after it.

    Attributes:
      files: the new text of each file that changes, relative to the repository.
      added, removed: keys of the params.
      reruns: why each stage runs again that does.
      after: the stages that run again if what they read becomes another.
    """

    files: dict[Path, str] = field(default_factory=dict)
    added: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    reruns: dict[str, str] = field(default_factory=dict)
    after: list[str] = field(default_factory=list)


def upgrade(workspace: Workspace, *, dry_run: bool) -> Answer:
    """Rewrites `dvc.yaml`, the behaviour versions, the scripts and `dvc.lock`, and adds what the params lack.

    Interrupted and called again, it continues: the lock is written last, and each file as a whole.

    Raises:
      UsageError: if the params or DVC's files are not readable as YAML.
    """
    plan = _plan(workspace)
    if not dry_run:
        for name, text in sorted(plan.files.items(), key=lambda item: item[0] == lock.FILE):
            write_text(text, workspace.root / name)
            if name.parts[0] == "scripts":
                (workspace.root / name).chmod(0o755)
    costs = stages.read_costs(workspace)
    data = {
        "files": [str(name) for name in plan.files],
        "added": plan.added,
        "removed": plan.removed,
        "reruns": [{"stage": name, "reason": reason, **costs.get(name, {})} for name, reason in plan.reruns.items()],
        "after": plan.after,
    }
    return Answer(data, _text(plan, costs, dry_run=dry_run))


def _plan(workspace: Workspace) -> Plan:
    plan = Plan()
    for name in template.files():
        there = workspace.root / name
        if name == template.PARAMS:
            continue
        if name == template.IGNORING and there.exists():
            _note(plan, workspace, name, _with_lines(there.read_text(encoding="utf-8"), template.read(name)))
        elif name in template.REPLACED or not there.exists():
            _note(plan, workspace, name, template.read(name))
    merged = params.merge(workspace.params_file.read_text(encoding="utf-8"), template.read(template.PARAMS))
    plan.added, plan.removed = merged.added, merged.removed
    _note(plan, workspace, template.PARAMS, merged.text)
    if (workspace.root / lock.FILE).exists():
        pipeline = config.parse(template.read(template.PIPELINE), template.PIPELINE)
        files = {
            str(template.PARAMS): config.parse(merged.text, template.PARAMS),
            lock.BEHAVIOUR: config.parse(template.read(Path(lock.BEHAVIOUR)), lock.BEHAVIOUR),
        }
        before = config.read(workspace.root / lock.FILE)
        made = lock.reconcile(before, pipeline, files)
        plan.reruns, plan.after = made.reruns, lock.downstream(pipeline, list(made.reruns))
        if made.lock != before:
            plan.files[lock.FILE] = config.to_text(made.lock)
    return plan


def _note(plan: Plan, workspace: Workspace, name: Path, text: str) -> None:
    path = workspace.root / name
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        plan.files[name] = text


def _with_lines(text: str, template_text: str) -> str:
    """The text with those lines of the template that it lacks."""
    missing = [line for line in template_text.splitlines() if line not in text.splitlines()]
    return text.rstrip("\n") + "\n" + "".join(f"{line}\n" for line in missing) if missing else text


def _text(plan: Plan, costs: dict[str, dict[str, Any]], *, dry_run: bool) -> str:
    if not plan.files:
        return "the repository is up to date with the program"
    done = "would write" if dry_run else "wrote"
    names, plural = ", ".join(str(name) for name in plan.files), "" if len(plan.files) == 1 else "s"
    lines = [f"{done} {len(plan.files)} file{plural}: {names}"]
    lines += [f"params: new, with its default: {name}" for name in plan.added]
    lines += [f"params: no longer known, taken out: {name}" for name in plan.removed]
    if plan.reruns:
        lines.append("`dvc repro` will re-run:")
        lines += [f"  {name:<12}{reason}{_cost(costs.get(name))}" for name, reason in plan.reruns.items()]
    if plan.after:
        lines.append("and, if what these write becomes another:")
        lines += [f"  {name:<12}{_cost(costs.get(name)).lstrip('; ') or 'not timed yet'}" for name in plan.after]
    if not plan.reruns:
        lines.append("`dvc repro` re-runs nothing because of it")
    if not dry_run:
        lines.append("next: git diff; git commit; then dvc repro")
    return "\n".join(lines)


def _cost(cost: dict[str, Any] | None) -> str:
    return f"; it took {cost['seconds'] / 60:.1f} minutes last time" if cost else ""
