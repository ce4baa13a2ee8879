#!/usr/bin/env python
"""A week of use of the served model, made up from a seed, evaluated, and reported: what was planted is known.

    scripts/made_up_week.py store URL [--pictures 20000] [--seed 0]
    scripts/made_up_week.py serve WORKSPACE TRUTH OUT [--pictures 700] [--seed 0]

`store` fills an empty store with made-up answers (`served_week`). `serve` puts the model of WORKSPACE,
a repository where a round has run, behind the real service in the folder OUT, and sends it pictures that it has not
learnt from: those that TRUTH names, a table with `image` and `label`. Three clients send them, a week's in a few
minutes; the times are made up afterwards. Planted are: until Thursday noon a former model, which is the same with noise
in its head, and which promises as much; from Wednesday on the better one beside it as a shadow; darker pictures on
Saturday; whatever classes TRUTH has and the model has not. A reviewer who knows the truth judges what a random audit
draws each night, and the clients complain of some wrong answers. Then the report is written: OUT/report.html.
"""

import argparse
import io
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import harness
import httpx
import numpy as np
import pandas as pd
import sqlalchemy as sa
import uvicorn
from fastapi import FastAPI
from PIL import Image, ImageEnhance
from promises import served_week

from pipeline import bundle, config, sections
from pipeline.commands import report, serve
from pipeline.evaluation import thresholds
from pipeline.files import read_table, write_json, write_table
from pipeline.library import labels
from pipeline.library.tables import read_csv
from pipeline.serving import audits, evaluations, keys, reports
from pipeline.serving.reports import findings
from pipeline.serving.reports.log import KEY
from pipeline.serving.reports.periods import DAY
from pipeline.serving.store import schema
from pipeline.serving.store.opening import open_store
from pipeline.serving.verdicts import AUDIT, NOT_IN_CLASSES, RIGHT, WRONG
from pipeline.workspace import Workspace

DAYS = 7
SHADOW, NEW, DARK = 2, 3.5, 5  # days after Monday
NOISE = 3.0  # in the former model's head, of the spread of its weights
BRIGHTNESS = 0.2  # of Saturday's pictures
AUDITED = 60  # pictures a day
COMPLAIN = 0.3  # of who is shown a wrong answer
SCORES = "scores.parquet"
CLIENTS = ["app", "website", "museum"]


def main() -> None:
    parser = harness.parser(__doc__)
    commands = parser.add_subparsers(required=True)
    store = commands.add_parser("store")
    store.add_argument("url")
    store.set_defaults(function=fill)
    week = commands.add_parser("serve")
    for name in ("workspace", "truth", "out"):
        week.add_argument(name, type=Path)
    week.set_defaults(function=serve_week)
    for command, pictures in ((store, 20_000), (week, 700)):
        command.add_argument("--pictures", type=int, default=pictures)
        command.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.function(args)


def fill(args: argparse.Namespace) -> None:
    engine = open_store(args.url)
    week = served_week.make(pictures=args.pictures, seed=args.seed)
    served_week.fill(engine, week, seed=args.seed)
    print(f"{len(week.transactions)} pictures in {args.url}; next: wallaby report --store {args.url}")


def serve_week(args: argparse.Namespace) -> None:
    truth = read_csv(args.truth.absolute(), ["image", "label"])
    prepare(args.workspace.absolute(), args.out.absolute())
    os.chdir(args.out)
    random = np.random.default_rng(args.seed)
    workspace = Workspace.find()
    params = workspace.params(sections.Serve)
    secrets = {name: keys.add(params.keys, name, per_minute=1e6) for name in CLIENTS}
    sent = sending(truth, args.pictures, random)
    engine, known = open_store(params.store), set(read_table(workspace.pool_table, ["sha256"])["sha256"])
    with serve.service(workspace) as running, listening(serve.application_of(running, params)) as http:
        for start, end in pairwise([0, 1, SHADOW, 3, NEW, 4, DARK, 6, DAYS]):
            if start == SHADOW:
                shutil.copytree("after", "shadow")
            if start == NEW:
                shutil.rmtree(workspace.released)
                shutil.copytree("after", workspace.released)
            running.releases.look()
            own = sent[(sent["day"] >= start) & (sent["day"] < end)]
            sent.loc[own.index, ["request_id", "position"]] = send(http, own, secrets, random, workspace.folders)
            running.log.wait_until_stored(60)
            make_up_times(engine, sent, start)
            if end != NEW:
                judge(engine, sent, night=served_week.MONDAY + int(end) * DAY, known=known)
            print(f"day {end:g}: {len(own)} pictures answered", flush=True)
        complain(http, engine, sent, secrets, random)
        running.log.wait_until_stored(60)
    told = reports.load(params.store)
    report.write(told, Path("report.html"), Path("csv"))
    for finding in findings.of(told):
        print(f"{finding.kind:>4}  {finding.text}")
    planted(engine, sent)


@contextmanager
def listening(application: FastAPI) -> Iterator[httpx.Client]:
    """Serves on loopback, as long as the client is in use."""
    server = uvicorn.Server(uvicorn.Config(application, log_level="warning", access_log=False))
    with socket.create_server(("127.0.0.1", 0)) as bound:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{bound.getsockname()[1]}", timeout=60) as client:
                yield client
        finally:
            server.should_exit = True
            thread.join()


def prepare(workspace: Path, out: Path) -> None:
    """Makes a workspace of its own in `out`: the tables of the round, both models, and the params."""
    shutil.copytree(workspace / "configs", out / "configs")
    for name in ("index", "splits", "curated"):
        shutil.copytree(workspace / "data" / name, out / "data" / name)
    for name in ("labels.csv", "classes.csv"):
        if (workspace / "data" / name).exists():
            shutil.copyfile(workspace / "data" / name, out / "data" / name)
    folders = config.load(sections.Roots, workspace / "configs/params.yaml").model_dump(mode="json")
    for kind, roots in folders.items():
        folders[kind] = {name: str(workspace / folder) for name, folder in (roots or {}).items()}
    served = config.load(sections.Serve, Path("configs/params.yaml")).model_dump(mode="json")
    reporting = config.load(sections.Report, Path("configs/params.yaml")).model_dump(mode="json")
    params = config.read_value((out / "configs/params.yaml").read_text())
    own = {"pictures_share": 1.0, "shadow": "shadow", "look_seconds": 3600.0, "runtime": "keras"}
    params |= {"roots": folders, "serve": served | own, "report": reporting}
    write_json(params, out / "configs/params.yaml")  # JSON is YAML
    evaluated = [workspace / "data/evaluation" / name for name in (SCORES, thresholds.FILE)]
    after = bundle.load(workspace / "data/model")
    shutil.copytree(workspace / "data/model", out / "after")
    write_json(vars(replace(after.card, round=after.card.round + 1)), out / "after" / bundle.CARD)
    for path in evaluated:
        shutil.copyfile(path, out / "after" / path.name)
    random = np.random.default_rng(0)
    kernel = after.model.get_layer("head").kernel
    values = np.asarray(kernel)
    kernel.assign(values + random.normal(0, NOISE * values.std(), values.shape))
    card = bundle.save(after, out / "before")
    limits = thresholds.read(evaluated[1], after.card.model_digest)
    thresholds.write(replace(limits, model=card.model_digest), out / "before" / thresholds.FILE)
    write_table(read_table(evaluated[0]).assign(model=card.model_digest), out / "before" / SCORES)
    shutil.copytree(out / "before", Workspace(out).released)


def sending(truth: pd.DataFrame, pictures: int, random: np.random.Generator) -> pd.DataFrame:
    """What is sent when: `image`, `label`, `day` (after Monday, in order), and what the answer is called."""
    some = truth.sample(min(pictures, len(truth)), random_state=random).reset_index(drop=True)
    return some.assign(day=np.sort(random.uniform(0, DAYS, len(some))), request_id="", position=0)


def send(
    http: httpx.Client,
    rows: pd.DataFrame,
    secrets: dict[str, str],
    random: np.random.Generator,
    folders: dict[str, Path],
) -> list[tuple[str, int]]:
    """Sends one to three pictures at once; returns the request and position of each."""
    found: list[tuple[str, int]] = []
    while len(found) < len(rows):
        some = rows.iloc[len(found) : len(found) + random.integers(1, 4)]
        files = []
        for image, day in zip(some["image"], some["day"], strict=True):
            data = labels.locate(image, folders).read_bytes()
            files.append(("file", ("picture", darkened(data) if int(day) == DARK else data)))
        key = {"x-api-key": secrets[random.choice(CLIENTS)]}
        answer = http.post("/predict", files=files, headers=key).json()
        found += [(answer["request_id"], position) for position in range(len(some))]
    return found


def darkened(data: bytes) -> bytes:
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(data)) as picture:
        ImageEnhance.Brightness(picture.convert("RGB")).enhance(BRIGHTNESS).save(buffer, "JPEG", quality=92)
    return buffer.getvalue()


def make_up_times(engine: sa.Engine, sent: pd.DataFrame, start: float) -> None:
    """Moves what was answered now to its day of the made-up week."""
    now = sent[(sent["day"] >= start) & (sent["request_id"] != "")]
    with engine.begin() as connection:
        for table in (schema.transactions, schema.shadows):
            for request, position, day in zip(now["request_id"], now["position"], now["day"], strict=True):
                of = (table.c.request_id == request) & (table.c.position == position)
                connection.execute(sa.update(table).where(of).values(at=served_week.MONDAY + int(day * DAY)))
        known = connection.scalars(sa.select(schema.releases.c.model).order_by(schema.releases.c.at)).all()
        for model, day in zip(known, (0, NEW), strict=False):
            at = served_week.MONDAY + int(day * DAY)
            connection.execute(sa.update(schema.releases).where(schema.releases.c.model == model).values(at=at))


def judge(engine: sa.Engine, sent: pd.DataFrame, night: int, known: set[str]) -> None:
    """Draws a random audit, and says the truth of what was drawn. Args:
    known: the content of the pool's pictures.
    """
    audits.draw(engine, AUDITED, at=night, known=known)
    waiting = audits.queue(engine).merge(sent, on=KEY, suffixes=("_said", ""))
    evaluations.record(
        engine, [verdict(row) | {"source": AUDIT} for row in waiting.to_dict("records")], by="ada", at=night
    )


def verdict(row: dict[str, Any]) -> dict[str, str]:
    told = {"request_id": row["request_id"], "position": str(row["position"])}
    if row["label"] == row["label_said"]:
        return told | {"verdict": RIGHT}
    known = row["label"] in bundle.read_classes(Path("after"))
    return told | {"verdict": WRONG if known else NOT_IN_CLASSES, "truth": row["label"]}


def complain(
    http: httpx.Client, engine: sa.Engine, sent: pd.DataFrame, secrets: dict[str, str], random: np.random.Generator
) -> None:
    """Some of the clients that were shown a wrong answer say so to the service."""
    rows = answers(engine, sent)
    rows = rows[rows["shown"].astype(bool) & (rows["label"] != rows["label_said"])]
    for row in rows[random.random(len(rows)) < COMPLAIN].to_dict("records"):
        told = verdict(row)
        body = {"request_id": told["request_id"], "position": row["position"], "verdict": told["verdict"]}
        body["label"] = told["truth"]
        http.post("/feedback", json=body, headers={"x-api-key": secrets[row["client"]]}).raise_for_status()


def answers(engine: sa.Engine, sent: pd.DataFrame) -> pd.DataFrame:
    """What was answered, beside what was sent."""
    with engine.connect() as connection:
        rows = pd.read_sql(sa.select(schema.transactions), connection)
    return rows.merge(sent, on=KEY, suffixes=("_said", ""))


def planted(engine: sa.Engine, sent: pd.DataFrame) -> None:
    """Prints the truth beside which the report can be held, of all answers and not of a sample."""
    rows = answers(engine, sent).assign(day=lambda table: table["day"].astype(int))
    rows["right"] = rows["label"] == rows["label_said"]
    lacking = ~rows["label"].isin(bundle.read_classes(Path("after")))
    print(f"truth: {rows['right'].mean():.1%} of {len(rows)} right")
    print("truth, by model:", rows.groupby("version", sort=False)["right"].mean().round(3).to_dict())
    print("truth, by day:", rows.groupby("day")["right"].mean().round(3).to_dict())
    print("truth, not in classes:", (rows.loc[lacking, "label"].value_counts() / len(rows)).round(3).to_dict())


if __name__ == "__main__":
    main()
