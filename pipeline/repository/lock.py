"""Brings `dvc.lock` up to a newer `dvc.yaml`, so that DVC re-runs a stage only where it would write something else.

DVC compares a stage's command, dependencies and params with those of its last run (`dvc.lock`), by their text: it
would train again because of a command that is spelt differently, or a module that is no dependency any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path("dvc.lock")
BEHAVIOUR = "configs/behaviour.yaml"
FIRST_VERSION = 1  # of every stage's behaviour, before the versions were counted


@dataclass(frozen=True)
class Reconciled:
    """The new lock, and why each stage will run again that does; those are in the order of the pipeline."""

    lock: dict[str, Any]
    reruns: dict[str, str]


def reconcile(
    lock: Mapping[str, Any], pipeline: Mapping[str, Any], params: Mapping[str, Mapping[str, Any]]
) -> Reconciled:
    """Rewrites the entries of stages that have run.

    Args:
      lock: the content of `dvc.lock`.
      pipeline: the content of the new `dvc.yaml`.
      params: the content of each file of params, by its name, the behaviour versions among them.
    """
    entries, reruns = dict(lock.get("stages", {})), {}
    known = {out["path"]: out for entry in entries.values() for out in entry.get("outs", [])}
    for name, stage in pipeline["stages"].items():
        if name not in entries:
            reruns[name] = "it has not run yet"
            continue
        entry, reasons = dict(entries[name]), []
        entry["cmd"] = stage["cmd"]
        wanted = sorted(stage.get("deps", []))
        deps = {dep["path"]: dep for dep in entry.get("deps", [])} | {
            path: known[path] for path in wanted if path in known and path not in _paths(entry.get("deps", []))
        }
        reasons += [f"it reads {path} now" for path in wanted if path not in deps]
        entry["deps"] = [deps[path] for path in wanted if path in deps]
        outs = {out["path"]: out for out in entry.get("outs", [])}
        made = _out_paths(stage)
        reasons += [f"it writes {path} now" for path in made if path not in outs]
        entry["outs"] = [outs[path] for path in made if path in outs]
        entry["params"], more = _params(entry.get("params", {}), stage, params)
        reasons += more
        entries[name] = {key: value for key, value in entry.items() if value not in ([], {})}
        if stage.get("always_changed"):
            continue
        if reasons:
            reruns[name] = "; ".join(reasons)
    stages = {name: entries[name] for name in pipeline["stages"] if name in entries}
    return Reconciled({**lock, "stages": stages}, reruns)


def downstream(pipeline: Mapping[str, Any], names: list[str]) -> list[str]:
    """The stages that read, directly or not, what one of these writes; in the order of the pipeline."""
    stages, found = pipeline["stages"], set(names)
    for name, stage in stages.items():  # in the order in which they run
        written = [path for earlier in found for path in _out_paths(stages[earlier])]
        if any(path == dep or path.startswith(f"{dep}/") or dep.startswith(f"{path}/")
               for path in written for dep in stage.get("deps", [])):  # fmt: skip
            found.add(name)
    return [name for name in stages if name in found - set(names)]


def _params(
    before: Mapping[str, Mapping[str, Any]], stage: Mapping[str, Any], files: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """The params of a stage as its last run had them, and why it runs again because of its behaviour."""
    kept: dict[str, dict[str, Any]] = {}
    reasons = []
    for file, keys in sorted(_tracked(stage).items()):
        values = files[file]
        kept[file] = {}
        for key in sorted(keys):
            now = _value(values, key)
            if file == BEHAVIOUR:
                then = before.get(file, {}).get(key, FIRST_VERSION)
                if then != now:
                    reasons.append(f"its behaviour changed (version {then} to {now})")
            else:
                then = before.get(file, {}).get(key, now)
                if isinstance(now, dict) and isinstance(then, dict):
                    then = {name: then.get(name, value) for name, value in now.items()}
            kept[file][key] = then
    return kept, reasons


def _tracked(stage: Mapping[str, Any]) -> dict[str, list[str]]:
    return {file: keys for entry in stage.get("params", []) for file, keys in entry.items()}


def _value(values: Mapping[str, Any], key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def _paths(entries: list[dict[str, Any]]) -> set[str]:
    return {entry["path"] for entry in entries}


def _out_paths(stage: Mapping[str, Any]) -> list[str]:
    listed = [*stage.get("outs", []), *stage.get("metrics", []), *stage.get("plots", [])]
    return sorted(next(iter(out)) if isinstance(out, dict) else out for out in listed)
