"""The only reader of YAML: one frozen schema a section of `configs/params.yaml`, one for the presets."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from pipeline.errors import UsageError, closest
from pipeline.sections import Preset, Roots, Section

PARAMS = Path("configs/params.yaml")
PRESETS = Path("configs/models")
PIPELINE = Path("dvc.yaml")

AnySection = TypeVar("AnySection", bound=Section)


def load(section: type[AnySection], path: Path = PARAMS) -> AnySection:
    """Reads and checks the section of `path` that is named like the class.

    Raises:
      UsageError: for unreadable YAML, a missing or unknown key, or a value out of range; the nearest name is offered.
    """
    values = read(path)
    name = section.__name__.lower()
    known = {s.__name__.lower() for s in Section.__subclasses__() if s is not Preset}
    for key in values:
        if key not in known:
            raise UsageError(f"unknown section '{key}'", where=path, mend=closest(key, known))
    if name not in values:
        raise UsageError(f"section '{name}' is missing", where=path, mend="take it from the version in git")
    return _check(section, values[name], f"{path}, section {name}")


def load_preset(name: str, folder: Path = PRESETS) -> Preset:
    """Reads `NAME.yaml` of a folder of presets.

    Raises:
      UsageError: if there is no such preset; the nearest name is offered.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        raise UsageError(f"unknown preset '{name}'", where=folder, mend=closest(name, presets(folder)))
    return _check(Preset, read(path), str(path))


def presets(folder: Path = PRESETS) -> list[str]:
    return sorted(file.stem for file in folder.glob("*.yaml"))


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
    return _check(section, read(path)[name] | values, f"section {name}")


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


def dependencies(stages: list[str], path: Path = PIPELINE) -> list[Path]:
    """What the stages read, by `dvc.yaml`, and none of them writes; relative to its folder."""
    known = read(path)["stages"]
    written = [Path(out) for name in stages for out in known[name].get("outs", []) if isinstance(out, str)]
    needed = {Path(dependency) for name in stages for dependency in known[name]["deps"]}
    return sorted(needed - set(written))


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


def parse(text: str, where: object) -> dict:
    """The mapping in a text of YAML.

    Raises:
      UsageError: if it is not readable, a key stands twice, or it holds no mapping.
    """
    try:
        values = yaml.load(text, _UniqueKeys)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"not readable as YAML: {error.problem}", where=f"{where}{line}") from None
    except yaml.YAMLError as error:
        raise UsageError(f"not readable as YAML: {error}", where=where) from None
    if not isinstance(values, dict):
        raise UsageError("the file holds no sections", where=where, mend="take it from the version in git")
    return values


def to_text(values: dict) -> str:
    """The mapping as YAML, its keys in their order."""
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def read(path: Path) -> dict:
    """The mapping in a file of YAML.

    Raises:
      UsageError: if the file is missing, or as `parse`.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UsageError("the params file is missing", where=path, mend="run from the top of the repository") from None
    except UnicodeDecodeError as error:
        raise UsageError(f"not readable as YAML: {error}", where=path) from None
    return parse(text, path)


def _check(schema: type[AnySection], values: Any, where: str) -> AnySection:
    try:
        return schema.model_validate(values or {})
    except ValidationError as error:
        unknown = [fault for fault in error.errors() if fault["type"] == "extra_forbidden"]
        first = (unknown or error.errors())[0]  # a mistyped key is missing too: name the slip
        key = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise UsageError(f"unknown key '{key}'", where=where, mend=closest(key, set(schema.model_fields))) from None
        if first["type"] == "missing":
            raise UsageError(f"key '{key}' is missing", where=where, mend="take it from the version in git") from None
        reason = first["msg"].removeprefix("Value error, ")
        got = f"{key} is {first['input']!r}: " if key else ""
        raise UsageError(f"{got}{reason[0].lower()}{reason[1:]}", where=where) from None
