"""What benches of promises share: a line per promise, the registry, and the Monte-Carlo error."""

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Line:
    """A promise and what was measured; it holds within the Monte-Carlo `error`."""

    what: str
    promised: str
    measured: float
    error: float = 0.0
    least: float = -np.inf
    most: float = np.inf

    @property
    def holds(self) -> bool:
        return self.least - self.error <= self.measured <= self.most + self.error

    def __str__(self) -> str:
        verdict = "holds" if self.holds else "broken"
        return f"{self.what:<72}{self.promised:>20}{self.measured:>10.4f} +- {self.error:<8.4f}{verdict}"


World = Callable[[int, np.random.Generator], Iterator[Line]]


@dataclass(frozen=True)
class Registry:
    """The worlds of a bench, by name: generators of lines, called with a number of runs and a random generator."""

    worlds: dict[str, World] = field(default_factory=dict)

    def __call__(self, world: World) -> World:
        self.worlds[world.__name__] = world
        return world

    def described(self) -> str:
        return "\n".join(f"  {name}: {world.__doc__}" for name, world in self.worlds.items())

    def run(self, only: str, runs: int, seed: int) -> int:
        """Prints the lines of the worlds named (by default of all); returns how many promises are broken.

        Raises:
          SystemExit: if no world has that name.
        """
        names = only.split(",") if only else list(self.worlds)
        unknown = [name for name in names if name not in self.worlds]
        if unknown:
            raise SystemExit(f"no world is called {unknown[0]}: {', '.join(self.worlds)}")
        broken = 0
        for name in names:
            start = time.perf_counter()
            for line in self.worlds[name](runs, np.random.default_rng(seed)):
                print(line, flush=True)
                broken += not line.holds
            print(f"({name}: {time.perf_counter() - start:.0f} s)", flush=True)
        return broken


promise = Registry()  # of bench_promises.py


def options(parser: argparse.ArgumentParser, *, runs: int, what: str) -> argparse.ArgumentParser:
    """Adds the options that such benches have in common; `runs` is the default, `what` is drawn so often."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--only", default="", help="worlds, with a comma between; all without it")
    parser.add_argument("--runs", type=int, default=runs, help=f"{what} (default {runs})")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def error_of(share: float, runs: int) -> float:
    """Two standard errors of a share of `runs`."""
    return 2 * float(np.sqrt(max(share * (1 - share), 1 / runs) / runs))


def at_most(what: str, share: float, runs: int, most: float) -> Line:
    return Line(what, f"<= {most:g}", share, error_of(share, runs), most=most)


def at_least(what: str, value: float, least: float, error: float = 0.0) -> Line:
    return Line(what, f">= {least:g}", value, error, least=least)


def between(what: str, share: float, runs: int, least: float, most: float) -> Line:
    return Line(what, f"{least:g} to {most:g}", share, error_of(share, runs), least, most)


def compared(what: str, value: float) -> Line:
    """A figure without a promise, beside those that have one."""
    return Line(what, "(for comparison)", value)
