"""Commands about the model that serves: its random audit, and the report on it."""

import argparse
from pathlib import Path
from typing import Any

from pipeline import paths
from pipeline.cli.common import Verb, answer, user
from pipeline.errors import DataError, UsageError


def add(verb: Verb) -> None:
    command = verb("audit", audit, "draw served pictures by chance, and record what people say of the answers")
    command.add_argument(
        "--draw", type=int, metavar="NUMBER", help="draw so many of what was served since the last draw"
    )
    command.add_argument("--sheet", type=Path, metavar="CSV", help="write what waits as a table to fill")
    command.add_argument("--take", type=Path, metavar="CSV", help="record the verdicts of a filled table")
    command.add_argument(
        "--verdict",
        nargs=2,
        metavar=("REQUEST[:POSITION]", "VERDICT"),
        help="record one: right, wrong, not-in-classes or unusable",
    )
    command.add_argument("--truth", default="", metavar="CLASS", help="with --verdict: what the picture shows")
    command.add_argument("--note", default="", help="with --verdict: kept with it")
    command.add_argument("--by", default="", help="who judges (default: git's user.name)")
    command.add_argument("--store", default="", metavar="URL", help="by default that of serve.store")
    command.add_argument("--dry-run", action="store_true", help="with --draw: say what would be drawn")

    command = verb("report", report, "tell how the served model is used and how right it is, in one page")
    command.add_argument("--out", type=Path, default=paths.SERVING_REPORT, metavar="HTML", help="the page")
    command.add_argument("--csv", type=Path, metavar="FOLDER", help="also write each table as CSV")
    command.add_argument("--since", metavar="DATE", help="from then on, UTC")
    command.add_argument("--until", metavar="DATE", help="before then, UTC")
    command.add_argument("--store", default="", metavar="URL", help="by default that of serve.store")
    command.add_argument("--mlflow", action="store_true", help="also log it as a run of the experiment wallaby-serving")


def audit(args: argparse.Namespace) -> int:
    from pipeline.serving import audits, evaluations
    from pipeline.serving.store.opening import open_existing

    engine = open_existing(store(args))
    if engine is None:
        raise DataError("nothing has been served yet", where=store(args), mend="`wallaby serve`, and ask it something")
    if args.draw is not None:
        if args.draw < 1:
            raise UsageError(f"cannot draw {args.draw}", where="wallaby audit --draw", mend="name a number of pictures")
        drawn = audits.draw(engine, args.draw, at=microseconds_now(), known=at_hand(), dry_run=args.dry_run)
        would = "would draw" if args.dry_run else "drew"
        text = f"{would} {drawn.drawn} of {drawn.population} pictures in {len(drawn.strata)} strata"
        text += "; next: wallaby review, or wallaby audit --sheet CSV"
        if not drawn.population:
            text = "nothing new can be judged: no answer since the last draw whose picture is at hand"
            text += " (serve.pictures_share says how many are kept)"
        result: Any = {"drawn": drawn.drawn, "population": drawn.population}
        return answer(args, result | {"strata": drawn.strata.to_dict("records")}, text)
    if args.sheet:
        number = evaluations.write_sheet(args.sheet, engine)
        text = f"{number} pictures in {args.sheet}: fill `verdict` and, if it is known, `truth`; then\n"
        text += f"  wallaby audit --take {args.sheet} --by YOUR-NAME"
        return answer(args, {"pictures": number}, text)
    if args.take:
        by = args.by or user()
        drawn_ones, others = evaluations.take_sheet(existing_sheet(args.take), engine, by=by, at=microseconds_now())
        text = f"{drawn_ones} verdicts of the audit and {others} others recorded; next: wallaby report"
        return answer(args, {"audit": drawn_ones, "chosen": others}, text)
    if args.verdict:
        request, _, position = args.verdict[0].partition(":")
        if position and not position.isdigit():
            raise UsageError(
                f"'{position}' is no picture's number", where=args.verdict[0], mend="REQUEST:0 is the first"
            )
        said = {"request_id": request, "position": position or "0", "verdict": args.verdict[1]}
        said |= {"truth": args.truth, "note": args.note}
        evaluations.record(engine, [said], by=args.by or user(), at=microseconds_now())
        return answer(args, said, f"recorded: {args.verdict[1]}")
    waiting = audits.waiting(engine)
    text = f"{waiting} pictures wait to be judged: wallaby review, or wallaby audit --sheet CSV"
    return answer(args, {"waiting": waiting}, text if waiting else "nothing waits: wallaby audit --draw NUMBER")


def report(args: argparse.Namespace) -> int:
    from pipeline import config, sections
    from pipeline.serving import reporting, reports

    params = config.load(sections.Report)
    told = reports.load(
        store(args),
        since=args.since,
        until=args.until,
        confidence=config.load(sections.Evaluate).confidence,
        reference_days=params.reference_days,
        workspace=reporting.workspace(cost_per_hour=params.reviewer_cost_per_hour),
    )
    files = reporting.write(told, args.out, args.csv)
    if args.mlflow:
        reporting.log(told, files)
    if args.json:
        return answer(args, reporting.as_dict(told), "")
    lines = [f"{finding.kind:>4}  {finding.text}" for finding in reports.findings.of(told)]
    lines += [
        f"look at {args.out.resolve().as_uri()}" + (f", and {len(files) - 1} tables in {args.csv}" if args.csv else "")
    ]
    return answer(args, {}, "\n".join(lines))


def store(args: argparse.Namespace) -> str:
    """The store that is asked for: the service's, or another."""
    if args.store:
        return args.store
    from pipeline import config, sections

    return config.load(sections.Serve).store


def at_hand() -> set[str]:
    """The content of the pictures that the library and the pool have, which the service keeps no second time."""
    from pipeline.files import read_table

    tables = [paths.INDEX / "library.parquet", paths.INDEX / "pool.parquet"]
    return {sha256 for path in tables if path.exists() for sha256 in read_table(path, ["sha256"])["sha256"]}


def microseconds_now() -> int:
    import time

    return time.time_ns() // 1000


def existing_sheet(path: Path) -> Path:
    if not path.exists():
        raise UsageError("there is no such table", where=path, mend="`wallaby audit --sheet CSV` writes one")
    return path
