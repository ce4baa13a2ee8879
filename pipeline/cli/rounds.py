"""Commands about rounds and model versions."""

import argparse
from pathlib import Path
from typing import Any

from pipeline import paths
from pipeline.cli.common import Verb, answer, existing, now, user, warn
from pipeline.errors import Exit, UsageError


def add(verb: Verb) -> None:
    command = verb("gate", gate, "show the gate's verdict; its exit code is 0, 4 or 7")
    command.add_argument("--html", action="store_true", help="say where the page is")
    command.add_argument(
        "--rescore",
        action="store_true",
        help="score the champion anew on today's benchmarks; then run `dvc repro gate`",
    )

    command = verb("promote", promote, "make the model the next round's base")
    command.add_argument("--dry-run", action="store_true", help="say what would change")

    command = verb("release", release, "make a model that passed the gate the champion, or go back to a former one")
    command.add_argument("--force", default="", metavar="WHY", help="although the gate did not pass it; WHY is kept")
    command.add_argument("--rollback", action="store_true", help="go back to the champion before")
    command.add_argument("--to", default="", metavar="ROUND", help="with --rollback: its round, or its digest")
    command.add_argument("--why", default="", help="with --rollback: the reason, which is kept")
    command.add_argument("--by", default="", help="who decides (default: git's user.name)")
    command.add_argument("--dry-run", action="store_true", help="say what would change")

    command = verb("runs", runs, "list all model versions side by side, or what differs between two")
    command.add_argument("diff", nargs="*", metavar="diff A B", help="two rounds, or beginnings of digests")
    command.add_argument("--html", action="store_true", help="write the page, with curves over the rounds")
    command.add_argument(
        "--ledger", action="store_true", help="what each round cost in labels and minutes, and brought"
    )

    verb("summary", summary, "tell the last round in a few lines")


def gate(args: argparse.Namespace) -> int:
    from pipeline import rounds
    from pipeline.files import read_json

    if args.rescore:
        return rescore(args)
    verdict = read_json(paths.GATE / "gate.json")
    rounds.record_verdict(paths.MODEL, paths.GATE)
    text = f"{verdict['verdict']}: {verdict['reason']}"
    if args.html:
        page = existing(paths.GATE / "index.html").resolve().as_uri()
        verdict, text = verdict | {"page": page}, f"{text}\nlook at {page}"
    answer(args, verdict, text)
    return {"pass": Exit.DONE, "fail": Exit.GATE_FAILED, "investigate": Exit.INVESTIGATE}[verdict["verdict"]]


def rescore(args: argparse.Namespace) -> int:
    from pipeline import champion, config, dvc, sections
    from pipeline.evaluation.assessment import TOP_K
    from pipeline.files import read_table
    from pipeline.library import classes

    params, folders = config.load(sections.Evaluate), config.load(sections.Roots).folders
    number = champion.rescore(
        paths.RELEASED,
        read_table(paths.SPLITS / "splits.parquet"),
        classes.read(paths.CLASSES),
        champion.predictor(folders, config.cache("rescore"), batch_size=params.batch_size),
        top_k=TOP_K,
    )
    dvc.track(Path(), paths.RELEASED)
    return answer(args, {"images": number}, f"the champion was scored on {number} images; next: dvc repro gate")


def promote(args: argparse.Namespace) -> int:
    from pipeline import bundle, dvc, rounds

    card = bundle.check(paths.MODEL)
    if not paths.BASE.exists() or bundle.check(paths.BASE).model_digest != card.model_digest:
        warn(dvc.warnings_of_replacing(Path(), paths.BASE))
    if args.dry_run:
        return answer(args, vars(card), f"would make the model of round {card.round} the base")
    new = rounds.promote(
        paths.MODEL, paths.BASE, curated=paths.CURATED, splits=paths.SPLITS, evaluation=paths.EVALUATION
    )
    dvc.track(Path(), paths.BASE)
    text = (
        f"the base is now the model of round {card.round}; next: dvc repro" if new else "the base is this model already"
    )
    return answer(args, {"round": card.round, "promoted": new}, text)


def release(args: argparse.Namespace) -> int:
    from pipeline import champion, dvc, rounds
    from pipeline.tracking import Tracking

    if args.to and not args.rollback:
        raise UsageError("--to without --rollback", where="wallaby release", mend="add --rollback, or leave --to out")
    by, at = args.by or user(), now()
    if args.rollback:
        model, change = champion.former(paths.RELEASED, paths.CHAMPIONS, to=args.to, by=by, at=at, reason=args.why)
        evaluation, predictions = model, None
    else:
        model, evaluation, predictions = paths.MODEL, paths.EVALUATION, paths.PREDICTIONS
        change = champion.candidate(model, evaluation, paths.GATE, by=by, at=at, force=args.force)
    named = f"the model of round {change.card.round} ({change.card.model_digest[:12]})"
    if args.dry_run:
        return answer(args, change.row, f"would make {named} the champion: {change.row['action']}")
    kept = champion.keep(paths.RELEASED, paths.CHAMPIONS)
    if kept:
        dvc.track(Path(), kept)
    new = champion.install(change, model, evaluation, paths.RELEASED, predictions)
    dvc.track(Path(), paths.RELEASED)
    rounds.record_verdict(paths.MODEL, paths.GATE)
    version = Tracking(paths.workspace()).set_champion(
        change.card.run_id, f"round-{change.card.round}", champion.tags(paths.RELEASED, change)
    )
    text = (
        f"the champion is now {named}, MLflow's version {version}; next: git commit"
        if new
        else f"{named} is the champion already"
    )
    return answer(args, change.row | {"released": new, "version": version}, text)


def runs(args: argparse.Namespace) -> int:
    from pipeline import chronicle, config, rounds, sections
    from pipeline.terminal import rounds as terminal

    if args.diff and (args.diff[0] != "diff" or len(args.diff) != 3):
        raise UsageError(f"wallaby runs {' '.join(args.diff)}", where="wallaby runs", mend="wallaby runs diff A B")
    rounds.record_verdict(paths.MODEL, paths.GATE)
    told = chronicle.read(paths.CLASSES, confidence=config.load(sections.Evaluate).confidence)
    if args.html:
        page = config.cache("runs.html")
        chronicle.write_page(told, paths.REVIEWS, page)
        return answer(args, {"page": page.as_uri()}, f"look at {page.as_uri()}")
    if args.diff:
        result: Any = chronicle.difference(told, *args.diff[1:])
    else:
        result = chronicle.ledger(told, paths.REVIEWS) if args.ledger else told.table.to_dict("records")
    if args.json:
        return answer(args, result, "")
    if args.diff:
        terminal.difference(result)
    elif args.ledger:
        terminal.ledger(result)
    else:
        terminal.runs(told.table, told.sets)
    return Exit.DONE


def summary(args: argparse.Namespace) -> int:
    from pipeline import rounds
    from pipeline.terminal import rounds as terminal

    told = rounds.summary(paths.MODEL.parent)
    if args.json:
        return answer(args, told, "")
    terminal.summary(told)
    return Exit.DONE
