"""The program `wallaby`: parse, call the command, print its answer as JSON or as a table."""

import sys
from collections.abc import Sequence

from pipeline import errors
from pipeline.cli import judge, review, round, serve, start
from pipeline.cli.parser import Program
from pipeline.repository import interrupted

EPILOG = """exit codes:
  0 done              3 data invalid                  6 finished with some failures   130 stopped by the user
  1 unexpected        4 gate failed                   7 the gate says investigate
  2 usage or params   5 leakage or lineage refused    75 interrupted; the same command continues
"""
GROUPS = {
    "start: the first round, and what lies where": start,
    "round: what a round made, and what the next one will": round,
    "review: the queue, and what people decide": review,
    "judge: which model is better, and what other programs get": judge,
    "serve: the champion as a service": serve,
}
# They show or pass on what stages wrote, which may be older than the code.
READ_RESULTS = {"", "board", "gate", "preview", "promote", "queue", "release", "review", "runs", "summary", "why"}
NEED_NO_WORKSPACE = {"new"}


def program() -> Program:
    made = Program(
        round.wheel,
        description="Trains, cleans, evaluates and re-trains one image classifier. `dvc repro` runs a round.\n"
        "Without a command, wallaby shows where the round stands and what to do next.",
        epilog=EPILOG,
    )
    for title, group in GROUPS.items():
        made.group(title)
        group.add(made)
    return made


def main(argv: Sequence[str] | None = None) -> None:
    def command() -> int:
        args = program().parse(argv)
        from pipeline.cli import answers
        from pipeline.workspace import Workspace

        workspace = None if args.verb in NEED_NO_WORKSPACE else Workspace.find()
        if workspace and interrupted.repair_lock(workspace.root):
            print("removed .dvc/tmp/rwlock, which a killed DVC had left unreadable", file=sys.stderr)
        if workspace and args.verb in READ_RESULTS:
            from pipeline import behaviour

            behaviour.warn(workspace.root)
        return answers.print_answer(args.run(workspace, args), as_json=args.json)

    errors.run(command)
