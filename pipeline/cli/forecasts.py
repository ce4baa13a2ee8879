"""Commands that look ahead: throw-away runs, and the preview of the next round."""

import argparse
import sys
from typing import Any

from pipeline.cli.common import Verb, answer, now
from pipeline.errors import Exit, UsageError

ACTIONS = ("list", "report", "remove")


def add(verb: Verb) -> None:
    command = verb("throwaway", throwaway, "run a round at a lowered cutoff, in a copy, for its queue alone")
    command.add_argument(
        "action",
        nargs="*",
        metavar="list | report [NAME] | remove [NAME]",
        help="tell all; hold the expected yield of one against that of its review; take one away",
    )
    command.add_argument("--min-images", type=int, metavar="N", help="the lowered cutoff, in groups of near-duplicates")
    command.add_argument("--name", default="", help="(default: min-N)")

    command = verb(
        "preview", preview, "forecast the next round after a review: refit only the head, on stored features"
    )
    command.add_argument("--held", action="store_true", help="hold the forecast of the present round against the round")


def throwaway(args: argparse.Namespace) -> int:
    from pipeline import throwaway
    from pipeline.errors import closest
    from pipeline.terminal import forecasts as terminal

    action, *names = args.action or ["run"]
    if action not in ("run", *ACTIONS) or len(names) > (action in ("report", "remove")):
        raise UsageError(
            f"wallaby throwaway {' '.join(args.action)}",
            where="wallaby throwaway",
            mend=closest(action, set(ACTIONS)),
        )
    name = names[0] if names else args.name
    if action == "list":
        rows = throwaway.listed()
        if args.json:
            return answer(args, rows, "")
        terminal.throwaways(rows)
        return Exit.DONE
    if action == "remove":
        name = throwaway.remove(name)
        return answer(args, {"removed": name}, f"removed the throw-away '{name}'; decisions on its candidates stay")
    if action == "report":
        table = throwaway.report(name)
        if args.json:
            return answer(args, table.to_dict("records"), "")
        terminal.yields(table)
        return Exit.DONE
    return _run(args)


def _run(args: argparse.Namespace) -> int:
    from pipeline import throwaway
    from pipeline.files import read_json
    from pipeline.review import near_cutoff
    from pipeline.terminal import forecasts as terminal

    if args.min_images is None:
        raise UsageError("at which cutoff?", where="wallaby throwaway", mend="--min-images N, or list, report, remove")
    folder = throwaway.run(
        args.name, args.min_images, at=now(), told=lambda line: print(line, file=sys.stderr, flush=True)
    )
    facts, table = read_json(folder / throwaway.RUN), near_cutoff.read_classes(folder / throwaway.CLASSES)
    page = (folder / throwaway.QUEUE / "index.html").as_uri()
    if args.json:
        result: dict[str, Any] = facts | {"classes": table.to_dict("records"), "page": page}
        return answer(args, result, "")
    terminal.outlook(facts, table)
    print(f"look at {page}")
    return Exit.DONE


def preview(args: argparse.Namespace) -> int:
    from pipeline import preview
    from pipeline.terminal import forecasts as terminal

    if args.held:
        told = preview.held()
        if args.json:
            return answer(args, told, "")
        terminal.held(told)
        return Exit.DONE
    made = preview.make()
    if args.json:
        return answer(args, vars(made), "")
    terminal.preview(made)
    return Exit.DONE
