"""Commands about the service."""

import argparse
import json
from typing import Any

from pipeline.cli.common import Verb, answer
from pipeline.errors import Exit, UsageError

SHOWN = 500  # characters of a record that was set aside


def add(verb: Verb) -> None:
    command = verb("serve", serve, "serve the champion: POST /predict names pictures, and every answer is recorded")
    command.add_argument("--host", default="127.0.0.1", help="where to serve; beyond this machine only with keys")
    command.add_argument("--port", type=int, help="by default 8800; 0: any that is free")
    command.add_argument("--key", metavar="CLIENT", help="make a key for a new client, print it once, and end")
    command.add_argument("--per-minute", type=float, metavar="N", help="with --key: pictures a minute")
    command.add_argument("--revoke", metavar="CLIENT", help="take a client's key back, and end")
    command.add_argument("--forget", metavar="CLIENT", help="delete all that was recorded of a client, and end")
    command.add_argument(
        "--replay", action="store_true", help="bring records that were set aside, or wait, to the store, and end"
    )
    command.add_argument("--dry-run", action="store_true", help="with --replay: list what is set aside")


def serve(args: argparse.Namespace) -> int:
    if args.key or args.revoke:
        return change_keys(args)
    from pipeline.serving import server

    if args.dry_run and not args.replay:
        raise UsageError("--dry-run goes with --replay")
    if args.replay:
        return replay(args)
    if args.forget:
        gone = server.forget(args.forget)
        text = f"{gone['transactions']} transactions and {gone['pictures']} pictures deleted"
        also = f"; {gone['labelled']} pictures were labelled: take their rows out of data/labels.csv"
        return answer(args, gone, text + (also if gone["labelled"] else ""))

    def say(address: str) -> None:
        print(
            json.dumps({"address": address}) if args.json else f"{address}  (descriptions: {address}docs)", flush=True
        )

    server.serve(host=args.host, port=args.port, say=say)
    return Exit.DONE


def replay(args: argparse.Namespace) -> int:
    from pipeline.serving import server

    if args.dry_run:
        aside = server.set_aside()
        return answer(args, {"aside": aside}, "\n".join([f"{len(aside)} records are set aside", *_listed(aside)]))
    done = server.replay()
    where = "in the store" if done["stored"] else "waiting on disk: the store cannot be used, or has much to take"
    text = f"{done['replayed']} records replayed, {where}; {len(done['aside'])} stay aside"
    answer(args, done, "\n".join([text, *_listed(done["aside"])]))
    if not done["stored"]:
        return Exit.RESUMABLE
    return Exit.SOME_FAILED if done["aside"] else Exit.DONE


def _listed(aside: list[dict[str, Any]]) -> list[str]:
    return [
        f"  {one['reason']}: {json.dumps(one['record'])[:SHOWN]}" + (f" (for {one['table']})" if one["table"] else "")
        for one in aside
    ]


def change_keys(args: argparse.Namespace) -> int:
    from pipeline import config, sections
    from pipeline.serving import keys

    params = config.load(sections.Serve)
    if args.revoke:
        keys.revoke(params.keys, args.revoke)
        return answer(args, {"revoked": args.revoke}, f"the key of {args.revoke} is refused from now on")
    key = keys.add(params.keys, args.key, per_minute=args.per_minute or params.per_minute)
    return answer(
        args, {"client": args.key, "key": key}, f"{key}\nthis is shown once: only its hash is kept, in {params.keys}"
    )
