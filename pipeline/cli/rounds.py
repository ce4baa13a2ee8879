"""Commands about rounds and model versions."""

import argparse

from pipeline import paths
from pipeline.cli.common import Verb, answer
from pipeline.errors import Exit


def add(verb: Verb) -> None:
    verb("gate", gate, "show the gate's verdict; its exit code is 0, 4 or 7")

    command = verb("promote", promote, "make the model the next round's base")
    command.add_argument("--dry-run", action="store_true", help="say what would change")

    verb("release", release, "make a model that passed the gate the champion")

    verb("runs", runs, "list all model versions side by side")

    verb("summary", summary, "tell the last round in a few lines")


def gate(args: argparse.Namespace) -> int:
    from pipeline.files import read_json

    verdict = read_json(paths.GATE / "gate.json")
    answer(args, verdict, f"{verdict['verdict']}: {verdict['reason']}")
    return {"pass": Exit.DONE, "fail": Exit.GATE_FAILED, "investigate": Exit.INVESTIGATE}[verdict["verdict"]]


def promote(args: argparse.Namespace) -> int:
    from pipeline import bundle, rounds

    card = bundle.check(paths.MODEL)
    if args.dry_run:
        return answer(args, vars(card), f"would make the model of round {card.round} the base")
    new = rounds.promote(
        paths.MODEL, paths.BASE, curated=paths.CURATED, splits=paths.SPLITS, evaluation=paths.EVALUATION
    )
    rounds.track_with_dvc(paths.BASE)
    text = (
        f"the base is now the model of round {card.round}; next: dvc repro" if new else "the base is this model already"
    )
    return answer(args, {"round": card.round, "promoted": new}, text)


def release(args: argparse.Namespace) -> int:
    from pipeline import rounds

    card = rounds.release(paths.MODEL, paths.EVALUATION, paths.GATE, paths.RELEASED)
    rounds.track_with_dvc(paths.RELEASED)
    return answer(args, vars(card), f"the champion is now the model of round {card.round} ({card.model_digest[:12]})")


def runs(args: argparse.Namespace) -> int:
    from pipeline import rounds, terminal, tracking

    table = rounds.versions(tracking.runs())
    if args.json:
        return answer(args, table.to_dict("records"), "")
    terminal.runs(table)
    return Exit.DONE


def summary(args: argparse.Namespace) -> int:
    from pipeline import rounds, terminal

    told = rounds.summary(paths.MODEL.parent)
    if args.json:
        return answer(args, told, "")
    terminal.summary(told)
    return Exit.DONE
