"""Commands that take a model, and what it says of the pool, to other programs."""

import argparse
from pathlib import Path

from pipeline import errors, paths
from pipeline.cli.common import Verb, answer
from pipeline.errors import Exit

FAULTS_SHOWN = 20


def add(verb: Verb) -> None:
    command = verb("export", export, "write the model, or its predictions of the pool, for other programs")
    command.add_argument(
        "format",
        metavar="FORMAT",
        help="the model, checked against Keras on real pictures: savedmodel, onnx, litert;"
        " its predictions: csv, megadetector, label-studio, fiftyone",
    )
    command.add_argument("--out", type=Path, help="the folder, or the file (default: below data/export)")
    command.add_argument("--dry-run", action="store_true", help="say what would be written")
    of_model = command.add_argument_group("the model")
    of_model.add_argument("--model", type=Path, default=paths.MODEL, help="a bundle (default: data/model)")
    of_model.add_argument("--check", type=int, default=32, metavar="N", help="pictures to compare (default 32)")
    predictions = command.add_argument_group("its predictions")
    predictions.add_argument("--class", dest="label", default="", metavar="CLASS", help="images of this class only")
    predictions.add_argument("--min-score", type=float, default=0.0, help="images with at least this score")
    predictions.add_argument("--max-score", type=float, default=1.0, help="images with at most this score")
    predictions.add_argument("--limit", type=int, metavar="N", help="at most N images")
    predictions.add_argument("--replace", action="store_true", help="replace the file that --out names")

    command = verb("validate", validate, "look whether stored predictions are whole and consistent; exit code 3 if not")
    command.add_argument(
        "path", nargs="?", type=Path, default=paths.PREDICTIONS, metavar="FOLDER|FILE", help="default: data/predictions"
    )


def export(args: argparse.Namespace) -> int:
    from pipeline.inference import sharing

    return export_predictions(args) if args.format in sharing.FORMATS else export_model(args)


def export_predictions(args: argparse.Namespace) -> int:
    from pipeline import config, sections
    from pipeline.inference import sharing

    if args.limit is not None and args.limit < 1:
        raise errors.UsageError(f"--limit {args.limit}: at least one image", where="wallaby export")
    format_, folders = sharing.FORMATS[args.format], config.load(sections.Roots).folders
    out = args.out or paths.EXPORT / format_.file
    if args.out and out.exists() and not args.replace:
        raise errors.UsageError("there is a file already", where=out, mend="name another, or say --replace")
    selection = sharing.Selection(args.label, args.min_score, args.max_score, args.limit)
    if args.dry_run:
        number = sum(map(len, sharing.select(args.format, paths.PREDICTIONS, selection)))
    else:
        number = sharing.write(args.format, paths.PREDICTIONS, out, selection=selection, folders=folders)
    told = {"images": number, "out": str(out), "base": str(sharing.Files(folders).base)}
    text = f"{out}: {format_.title}, {number} images\n{format_.note.format(**told)}"
    return answer(args, told, f"would write {text}" if args.dry_run else text)


def validate(args: argparse.Namespace) -> int:
    from pipeline.inference import validation

    counts, faults = validation.validate(args.path)
    told = f"{counts['pool']} = " + " + ".join(f"{counts[name]} {name}" for name in list(counts)[1:])
    lines = [str(fault) for fault in faults[:FAULTS_SHOWN]]
    if len(faults) > FAULTS_SHOWN:
        lines.append(f"... {len(faults) - FAULTS_SHOWN} more")
    answer(args, counts | {"faults": [vars(fault) for fault in faults]}, "\n".join([*lines, f"{args.path}: {told}"]))
    return Exit.DATA if faults else Exit.DONE


def export_model(args: argparse.Namespace) -> int:
    from pipeline import bundle
    from pipeline.inference import export, formats, sharing

    format_ = formats.find(args.format, others=sharing.FORMATS)
    if args.check < 1:
        raise errors.UsageError(f"--check {args.check}: at least one picture", where="wallaby export")
    out = args.out or paths.EXPORT / args.format
    export.refuse_another_s_folder(out)
    card = bundle.check(args.model)
    if args.dry_run:
        planned = export.describe(args.format, card, len(bundle.read_classes(args.model))) | {"out": str(out)}
        return answer(args, planned, f"would write {format_.title} of model {card.model_digest[:12]} into {out}")
    told = export.export(args.format, args.model, out, pictures=export.some_pictures(args.check))
    check = told["check"]
    text = (
        f"{out / format_.file}: {format_.title} of model {card.model_digest[:12]}, {told['bytes'] / 1e6:.1f} MB\n"
        f"{check['pictures']} pictures: scores differ from Keras by at most {check['max_difference']:.1e}"
        f" (limit {check['limit']:g}), the same class for {check['agreement']:.0%}\n"
        f"{told['input']}\n{told['output']}\n"
        f"load it: {format_.usage.format(path=out / format_.file)}"
    )
    return answer(args, told | {"out": str(out)}, text)
