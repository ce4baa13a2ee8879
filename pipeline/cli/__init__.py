"""The program `wallaby`: parse, call, print. What a command does lies in the libraries, imported when called."""

import argparse
from collections.abc import Sequence
from typing import Any

from pipeline import errors
from pipeline.cli import applying, export, forecasts, library, recipes, review, roots, rounds, served, serving, training

CODES = """exit codes:
  0 done              3 data invalid                  6 finished with some failures   130 stopped by the user
  1 unexpected        4 gate failed                   7 the gate says investigate
  2 usage or params   5 leakage or lineage refused    75 interrupted; the same command continues
"""

# They show or hand on what stages wrote, which may be older than the code.
READ_RESULTS = {"board", "gate", "preview", "promote", "queue", "release", "review", "runs", "summary", "why"}


class Parser(argparse.ArgumentParser):
    """Argparse, with an error of ours that offers the nearest command."""

    def error(self, message: str) -> Any:
        from pipeline.errors import closest

        mend = f"`{self.prog} --help` shows what it takes"
        if "invalid choice: '" in message:
            word, known = message.split("invalid choice: '")[1].split("' (choose from ")
            mend = closest(word, {choice.strip(" '") for choice in known.rstrip(")").split(",")})
            message = f"unknown command '{word}'"
        raise errors.UsageError(message, where=self.prog, mend=mend)


def parser() -> argparse.ArgumentParser:
    top = Parser(
        prog="wallaby",
        description="Trains, cleans, proves and re-trains one image classifier. `dvc repro` runs a round.",
        epilog=CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verbs = top.add_subparsers(title="commands", metavar="COMMAND", required=True, parser_class=Parser)

    def verb(name: str, function: Any, help: str) -> argparse.ArgumentParser:
        command = verbs.add_parser(name, help=help, description=help)
        command.set_defaults(function=function, reads_results=name in READ_RESULTS)
        command.add_argument("--json", action="store_true", help="the result as JSON on stdout")
        return command

    for group in (library, roots, training, review, applying, recipes, forecasts, rounds, serving, served, export):
        group.add(verb)
    return top


def main(argv: Sequence[str] | None = None) -> None:
    def command() -> int:
        args = parser().parse_args(argv)
        if args.reads_results:
            from pipeline import behaviour

            behaviour.warn()
        return args.function(args)

    errors.run(command)
