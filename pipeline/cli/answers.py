"""Prints what a command answers."""

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.commands import Answer


def print_answer(answer: Answer, *, as_json: bool) -> int:
    """Prints the answer as JSON, as its table or as its text; returns the exit code."""
    if as_json:
        if answer.data is not None:
            print(to_json(answer.data))
    elif answer.show:
        answer.show()
    elif answer.text:
        print(answer.text)
    return answer.code


def to_json(value: Any) -> str:
    """The value as JSON text; a data frame is a list of records, and what is not known is null."""
    return json.dumps(_plain(value), indent=2, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if hasattr(value, "as_dict"):
        return _plain(value.as_dict())
    if hasattr(value, "to_dict") and hasattr(value, "columns"):  # a data frame; pandas need not be imported for it
        return [_plain(row) for row in value.to_dict("records")]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(vars(value))
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value)
    if type(value).__name__ in ("NaTType", "NAType"):  # what pandas does not know; it need not be imported for it
        return None
    if hasattr(value, "isoformat"):
        return value.isoformat()
    if hasattr(value, "tolist"):  # a NumPy scalar or array
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
