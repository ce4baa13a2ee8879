"""The behaviour version of each stage, and whether the code still does what that version says.

configs/behaviour.yaml   one version per stage; `dvc.yaml` depends on it, and on no module
configs/behaviour.lock   the digests of all that each stage reaches (`reach`), when its version was last confirmed
"""

import os
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from pipeline.behaviour import reach
from pipeline.behaviour.reach import PINS, Digests, code_folder, pins_of, reached
from pipeline.errors import DataError

VERSIONS = Path("configs/behaviour.yaml")
RECORD = Path("configs/behaviour.lock")
KNOWN = Path(".wallaby/behaviour.txt")  # digests by modification time, so that only changed files are parsed
LINE = re.compile(r"^([a-z-]+): (\d+)$", re.MULTILINE)
HEADER = (
    "# Written by scripts/behaviour: what a stage reaches, its digest or pin, and the stages that this holds for.\n"
)


class Difference(NamedTuple):
    """What a stage reaches and the record does not hold so: files and pins, sorted."""

    changed: list[str]
    new: list[str]
    gone: list[str]

    def __bool__(self) -> bool:
        return bool(self.changed or self.new or self.gone)

    def __str__(self) -> str:
        kinds = {"changed": self.changed, "new": self.new, "gone": self.gone}
        return "\n".join(f"  {kind:<8} {name}" for kind, names in kinds.items() for name in names)


def versions(folder: Path = Path()) -> dict[str, int]:
    """The version of each stage, in the order of the file.

    Raises:
      DataError: if the file is missing.
    """
    try:
        text = (folder / VERSIONS).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DataError("the behaviour versions are missing", where=VERSIONS, mend="take the file from git") from None
    return {stage: int(version) for stage, version in LINE.findall(text)}


def key(stage: str, folder: Path = Path()) -> str:
    """Names what the stage does: its version, and a digest of its code if that differs from the record."""
    version, today = versions(folder)[stage], reached(stage, code_folder(folder))
    changed = difference(today, recorded(folder).get(stage, {}))
    return f"{version} {reach.digest_of(today)}" if changed else f"{version}"


def difference(today: Mapping[str, str], before: Mapping[str, str]) -> Difference:
    """What of `today` is not as it was `before`."""
    return Difference(
        changed=sorted(name for name in today.keys() & before.keys() if today[name] != before[name]),
        new=sorted(today.keys() - before.keys()),
        gone=sorted(before.keys() - today.keys()),
    )


def differences(code: Path | None = None, folder: Path = Path()) -> dict[str, Difference]:
    """The stages whose code differs from the record, and in what."""
    record = recorded(folder)
    found = {stage: difference(reached(stage, code), record.get(stage, {})) for stage in versions(folder)}
    return {stage: differs for stage, differs in found.items() if differs}


def recorded(folder: Path = Path()) -> dict[str, Digests]:
    """The digests of each stage as they were recorded; a line that a merge has spoilt is left out."""
    stages: dict[str, Digests] = {}
    with suppress(FileNotFoundError):
        for line in (folder / RECORD).read_text(encoding="utf-8").splitlines():
            fields = line.split()
            if line.startswith("#") or len(fields) != 3:
                continue
            for stage in fields[2].split(","):
                stages.setdefault(stage, {})[fields[0]] = fields[1]
    return stages


def record(stages: Sequence[str], folder: Path = Path()) -> None:
    """Records that today's code of these stages does what their versions say."""
    known = versions(folder)
    everything = {stage: digests for stage, digests in recorded(folder).items() if stage in known}
    everything |= {stage: reached(stage) for stage in stages}
    holders: dict[tuple[str, str], list[str]] = {}
    for stage in known:
        for name, digest in everything.get(stage, {}).items():
            holders.setdefault((name, digest), []).append(stage)
    lines = [f"{name} {digest} {','.join(holders[name, digest])}\n" for name, digest in sorted(holders)]
    _write(HEADER + "".join(lines), folder / RECORD)


def raise_version(stages: Sequence[str], folder: Path = Path()) -> dict[str, int]:
    """Counts these stages' versions up, so that DVC runs them again, and records their code; returns the new ones."""
    raised = {stage: version + 1 for stage, version in versions(folder).items() if stage in stages}
    text = (folder / VERSIONS).read_text(encoding="utf-8")
    text = LINE.sub(lambda line: f"{line[1]}: {raised.get(line[1], line[2])}", text)
    _write(text, folder / VERSIONS)
    record(stages, folder)
    return raised


def warning(folder: Path = Path()) -> str:
    """Three lines for somebody who has changed a stage's code in this workspace; "" if nobody has.

    Files whose time and size are known are not read, and none is parsed that has not changed.
    """
    record, code, known = recorded(folder), code_folder(folder), _known(folder)
    rules = Path(reach.__file__).stat().st_mtime_ns  # by which digests are made
    now: dict[str, str] = {}
    seen: dict[str, str] = {}
    for name in {name for digests in record.values() for name in digests if not name.startswith(f"{PINS}:")}:
        try:
            state = (code / name).stat()
        except OSError:
            continue
        stamp = f"{rules}-{state.st_mtime_ns}-{state.st_size}"
        before, _, digest = known.get(name, "").partition(" ")
        seen[name] = f"{stamp} {digest if before == stamp else reach.file_digest(code / name)}"
        now[name] = seen[name].partition(" ")[2]
    if seen != known:
        with suppress(OSError):  # a workspace that may only be read
            _write("".join(f"{name} {said}\n" for name, said in sorted(seen.items())), folder / KNOWN)
    pins = {f"{PINS}:{name}": pin for name, pin in pins_of(code).items()}
    now |= pins if pins else {name: pin for digests in record.values() for name, pin in digests.items()}
    differing = {
        stage: [name for name, digest in sorted(digests.items()) if now.get(name) != digest]
        for stage, digests in record.items()
    }
    stages = [stage for stage in versions(folder) if differing.get(stage)] if record else []
    if not stages:
        return ""
    names = sorted({name for stage in stages for name in differing[stage]})
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    if code != folder:
        return (
            f"warning: the program is another than the one that this repository was made for: {', '.join(stages)}\n"
            "   so: `dvc repro` does not notice, and keeps what the other one wrote\n"
            " mend: `wallaby upgrade --dry-run` says what would re-run, and why"
        )
    return (
        f"warning: the code of {', '.join(stages)} is not what {RECORD} records: {', '.join(names[:3])}{more}\n"
        "   so: `dvc repro` does not notice, and keeps what the code wrote before\n"
        f" mend: `scripts/behaviour raise {' '.join(stages)}`, or `scripts/behaviour same` if they write the same"
    )


def warn(folder: Path = Path()) -> None:
    """Prints the warning, if there is one. A check that fails hinders nobody."""
    with suppress(OSError, DataError):
        if text := warning(folder):
            print(text, file=sys.stderr)


def _known(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / KNOWN).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return dict(line.partition(" ")[::2] for line in lines)


def _write(text: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
