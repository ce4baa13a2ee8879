"""The program `wallaby`: parse, call the command, print its answer as JSON or as a table."""

import argparse
from collections.abc import Sequence
from typing import Any

from pipeline import errors
from pipeline.cli import applying, library, recipes, repository, review, rounds, serving, training
from pipeline.cli.parser import Program

EPILOG = """exit codes:
  0 done              3 data invalid                  6 finished with some failures   130 stopped by the user
  1 unexpected        4 gate failed                   7 the gate says investigate
  2 usage or params   5 leakage or lineage refused    75 interrupted; the same command continues
"""

# They show or hand on what stages wrote, which may be older than the code.
READ_RESULTS = {"board", "gate", "preview", "promote", "queue", "release", "review", "runs", "summary", "why"}
NEED_NO_WORKSPACE = {"new"}


def program() -> Program:
    made = Program(
        repository.wheel,
        description="Trains, cleans, evaluates and re-trains one image classifier. `dvc repro` runs a round.\n"
        "Without a command, wallaby shows where the round stands and what to do next.",
        epilog=EPILOG,
    )
    made.group("commands")
    repository.add(made)
    library.add(made)
    training.add(made)

    def verb(name: str, function: Any, help: str) -> argparse.ArgumentParser:
        command = made.verb(name, function, help).parser
        command.set_defaults(function=function)
        return command

    for group in (review, applying, recipes):
        group.add(verb)
    rounds.add(made)
    serving.add(made)
    return made


def main(argv: Sequence[str] | None = None) -> None:
    def command() -> int:
        args = program().parse(argv)
        from pipeline.cli import answers
        from pipeline.workspace import Workspace

        workspace = None if args.verb in NEED_NO_WORKSPACE else Workspace.find()
        if workspace and args.verb in READ_RESULTS:
            from pipeline import behaviour

            behaviour.warn(workspace.root)
        if hasattr(args, "function"):
            return args.function(args)
        answer = args.run(workspace, args)
        return answers.print_answer(answer, as_json=args.json)

    errors.run(command)
