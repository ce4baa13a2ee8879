"""The verbs of the service, and of the model that serves."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.cli.parser import Program
from pipeline.errors import UsageError

if TYPE_CHECKING:
    from pipeline.commands import Answer
    from pipeline.workspace import Workspace


def add(program: Program) -> None:
    verb = program.verb(
        "serve", serve, "serve the champion: POST /predict names pictures, and every answer is recorded"
    )
    verb.add("--host", default="127.0.0.1", help="where to serve; beyond this machine only with keys")
    verb.add("--port", type=int, help="by default 8800; 0: any that is free")
    verb.add("--key", metavar="CLIENT", help="make a key for a new client, print it once, and end")
    verb.add("--per-minute", type=float, metavar="N", help="with --key: pictures a minute")
    verb.add("--revoke", metavar="CLIENT", help="take a client's key back, and end")
    verb.add("--forget", metavar="CLIENT", help="delete all that was recorded of a client, and end")
    verb.add("--replay", action="store_true", help="bring records that were set aside, or wait, to the store, and end")
    verb.add("--dry-run", action="store_true", help="with --replay: list what is set aside")

    verb = program.verb("audit", audit, "draw served pictures by chance, and record what people say of the answers")
    verb.add("--draw", type=int, metavar="NUMBER", help="draw so many of what was served since the last draw")
    verb.add("--sheet", type=Path, metavar="CSV", help="write what waits as a table to fill")
    verb.add("--take", type=Path, metavar="CSV", help="record the verdicts of a filled table")
    verb.add(
        "--verdict",
        nargs=2,
        metavar=("REQUEST[:POSITION]", "VERDICT"),
        help="record one: right, wrong, not-in-classes or unusable",
    )
    verb.add("--truth", default="", metavar="CLASS", help="with --verdict: what the picture shows")
    verb.add("--note", default="", help="with --verdict: kept with it")
    verb.add("--by", default="", help="who judges (default: git's user.name)")
    verb.add("--store", default="", metavar="URL", help="by default that of serve.store")
    verb.add("--dry-run", action="store_true", help="with --draw: say what would be drawn")

    verb = program.verb("report", report, "tell how the served model is used and how right it is, in one page")
    verb.add("--out", type=Path, metavar="HTML", help="the page (default: data/serving/report.html)")
    verb.add("--csv", type=Path, metavar="FOLDER", help="also write each table as CSV")
    verb.add("--since", metavar="DATE", help="from then on, UTC")
    verb.add("--until", metavar="DATE", help="before then, UTC")
    verb.add("--store", default="", metavar="URL", help="by default that of serve.store")
    verb.add("--mlflow", action="store_true", help="also log it as a run of the experiment wallaby-serving")


def serve(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import serve

    if args.revoke is not None:
        return serve.revoke_key(workspace, args.revoke)
    if args.key is not None:
        return serve.add_key(workspace, args.key, per_minute=args.per_minute)
    if args.replay:
        return serve.replay(workspace, dry_run=args.dry_run)
    if args.dry_run:
        raise UsageError("--dry-run goes with --replay")
    if args.forget:
        return serve.forget(workspace, args.forget)

    def say(address: str) -> None:
        as_json = json.dumps({"address": address})
        print(as_json if args.json else f"{address}  (descriptions: {address}docs)", flush=True)

    return serve.serve(workspace, host=args.host, port=args.port, say=say)


def audit(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import audit

    if args.draw is not None:
        return audit.draw(workspace, args.draw, store=args.store, dry_run=args.dry_run)
    if args.sheet:
        return audit.write_sheet(workspace, args.sheet, store=args.store)
    if args.take:
        return audit.take_sheet(workspace, args.take, by=args.by, store=args.store)
    if args.verdict:
        return audit.record(workspace, *args.verdict, truth=args.truth, note=args.note, by=args.by, store=args.store)
    return audit.waiting(workspace, store=args.store)


def report(workspace: "Workspace", args: argparse.Namespace) -> "Answer":
    from pipeline.commands import report

    return report.report(
        workspace,
        out=args.out,
        csv=args.csv,
        since=args.since,
        until=args.until,
        store=args.store,
        mlflow=args.mlflow,
    )
