"""Brings the params of a repository up to a newer program: new keys get their defaults, the user's values stay."""

import re
from dataclasses import dataclass

SECTION = re.compile(r"^(\w+):", re.MULTILINE)
KEY = re.compile(r"^  (\w+):", re.MULTILINE)


@dataclass(frozen=True)
class Merged:
    """The params' new text, the keys that were added and those that were taken out (SECTION, or SECTION.KEY)."""

    text: str
    added: list[str]
    removed: list[str]


def merge(text: str, template: str) -> Merged:
    """Adds to the params what the template has and they lack, and takes out what the template does not know.

    Both are YAML as this project writes it: sections at the margin, their keys indented by two, one per line or block.
    Lines that stay are kept byte for byte, comments included.

    Args:
      text: the repository's params.
      template: the params that the program brings along.
    """
    ours, theirs = _blocks(text, SECTION), _blocks(template, SECTION)
    added = [name for name in theirs if name and name not in ours]
    removed = [name for name in ours if name and name not in theirs]
    merged = {name: block for name, block in ours.items() if name not in removed}
    for name in [name for name in theirs if name in ours and name]:
        section, more, fewer = _merge_section(ours[name], theirs[name])
        merged[name] = section
        added += [f"{name}.{key}" for key in more]
        removed += [f"{name}.{key}" for key in fewer]
    merged = _in_order(merged, theirs)
    return Merged("".join(_with_line_end(block) for block in merged.values()), added, removed)


def _merge_section(ours: str, theirs: str) -> tuple[str, list[str], list[str]]:
    if KEY.search(theirs) is None or re.match(r"roots:", ours):  # the roots' keys are the user's own
        return ours, [], []
    mine, known = _blocks(ours, KEY), _blocks(theirs, KEY)
    added = [key for key in known if key and key not in mine]
    removed = [key for key in mine if key and key not in known]
    kept = {key: block for key, block in mine.items() if key not in removed}
    end = re.search(r"\n*\Z", ours)
    merged = "".join(_with_line_end(block.rstrip("\n")) for block in _in_order(kept, known).values())
    return merged.rstrip("\n") + (end[0] if end else "\n"), added, removed


def _in_order(ours: dict[str, str], theirs: dict[str, str]) -> dict[str, str]:
    """Our blocks in our order, each new one of theirs behind the one that it follows there."""
    names = list(ours)
    before = ""
    for name in theirs:
        if name not in names:
            names.insert(names.index(before) + 1 if before in names else len(names), name)
        before = name
    return {name: ours.get(name, theirs.get(name, "")) for name in names}


def _blocks(text: str, beginning: re.Pattern[str]) -> dict[str, str]:
    """The text cut before each match, by the name that was matched; what lies before the first has the name ""."""
    starts = [(match.start(), match[1]) for match in beginning.finditer(text)]
    if not starts:
        return {"": text}
    ends = [start for start, _ in starts[1:]] + [len(text)]
    return {"": text[: starts[0][0]]} | {name: text[start:end] for (start, name), end in zip(starts, ends, strict=True)}


def _with_line_end(block: str) -> str:
    return block if not block or block.endswith("\n") else block + "\n"
