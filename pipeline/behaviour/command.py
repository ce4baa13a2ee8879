"""The command `scripts/behaviour`: what differs from the record, recording that it is the same, raising a version."""

import difflib
from collections.abc import Sequence

from pipeline import behaviour
from pipeline.errors import UsageError

USAGE = """usage: scripts/behaviour                     what differs from the record, by stage
       scripts/behaviour same [STAGE ...]    record: these stages (or all) write what they wrote before
       scripts/behaviour raise STAGE [...]   count their versions up: they write something else, and run again
       scripts/behaviour warn                three lines if anything differs"""


def main(arguments: Sequence[str]) -> int:
    """The command `scripts/behaviour`; returns its exit code.

    Raises:
      UsageError: for an unknown action or stage.
    """
    action, stages = (arguments[0], list(arguments[1:])) if arguments else ("show", [])
    known = behaviour.versions()
    for stage in stages:
        if stage not in known:
            close = difflib.get_close_matches(stage, known, n=1)
            mend = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"
            raise UsageError(f"unknown stage '{stage}'", where=f"scripts/behaviour {action}", mend=mend)
    if action in {"-h", "--help"}:
        print(USAGE)
    elif action == "warn" and not stages:
        behaviour.warn()
    elif action == "show" and not stages:
        _show(behaviour.differences(), known)
    elif action == "same":
        before = behaviour.differences()
        behaviour.record(stages or list(known))
        print(f"recorded: {', '.join(s for s in before if s in (stages or known)) or 'nothing had changed'}")
        print("next: `scripts/test tests/test_golden.py` tells whether they do write the same")
    elif action == "raise" and stages:
        for stage, version in behaviour.raise_version(stages).items():
            print(f"{stage}: version {version}")
        print(f"next: `python -m tests.golden {' '.join(stages)}` records what they write now")
    else:
        raise UsageError(f"unknown: {' '.join(arguments)}", where="scripts/behaviour", mend="scripts/behaviour --help")
    return 0


def _show(differing: dict[str, behaviour.Difference], known: dict[str, int]) -> None:
    for stage, differs in differing.items():
        print(f"{stage}: version {known[stage]}, differs from the record\n{differs}")
    if not differing:
        print(f"all {len(known)} stages are as recorded")
