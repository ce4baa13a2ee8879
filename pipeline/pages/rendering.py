"""How the templates beside this file become text: escaping, and how numbers read."""

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
from markupsafe import Markup, escape

from pipeline.evaluation.independence import images
from pipeline.pages import glossary

FIRST_ROWS = 50  # of a long table shown before 'Show all'
FIRST_CARDS = 21  # of a long list of images: three rows of them
FEW = 12  # rows or cards that need no filter
DASH = "–"  # where a number is not known


def render(template: str, **values: object) -> str:
    """Fills a template; every value is escaped, for file names and labels may hold HTML."""
    return _environment().get_template(template).render(values)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for filter_ in (percent, decimal, rate, count, counted, text, breakable, term):
        environment.filters[filter_.__name__] = filter_
    environment.tests["known"] = pd.notna
    environment.globals.update(first_rows=FIRST_ROWS, first_cards=FIRST_CARDS, few=FEW, terms=glossary.TERMS)
    return environment


def percent(share: float, digits: int = 1) -> str:
    return DASH if pd.isna(share) else f"{share:.{digits}%}"


def decimal(value: float, digits: int = 3) -> str:
    return DASH if pd.isna(value) else f"{value:.{digits}f}"


def rate(value: float) -> str:
    return DASH if pd.isna(value) else f"{value:.1e}"


def count(value: float) -> str:
    return DASH if pd.isna(value) else f"{int(value):,}"


def counted(row: Mapping[str, Any], of: str = "") -> str:
    """The number of images `n` of a row, and of the independent ones among them where these are fewer.

    Args:
      of: which of several numbers of the row, the beginning of its name.
    """
    if pd.isna(row[f"{of}n"]):
        return DASH
    number, _, rest = images(int(row[f"{of}n"]), row.get(f"{of}independent"), word="").partition(", ")
    return Markup(f"{number} <small>{rest}</small>") if rest else number


def text(value: str | float) -> str:
    """A cell that may be empty."""
    return "" if pd.isna(value) else str(value)


def breakable(name: str) -> Markup:
    """The escaped name; a browser may break the line after its slashes, underscores, dashes and colons."""
    return Markup(re.sub("([/_:-]+)", r"\1<wbr>", str(escape(name))))


def term(name: str, text: str = "") -> Markup:
    """The escaped name; one of the glossary says what it means, to a pointer and to the keyboard.

    Args:
      text: what stands there, if it is not the name itself.
    """
    shown = breakable(text or name)
    meaning = glossary.TERMS.get(name)
    if meaning is None:
        return shown
    return Markup('<abbr class="term" tabindex="0" title="{}">{}</abbr>').format(meaning, shown)
