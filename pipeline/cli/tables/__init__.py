"""What the tables on a terminal have in common."""

from rich.console import Console

WIDTH = 124


def console() -> Console:
    return Console(highlight=False, width=None if Console().is_terminal else WIDTH)
