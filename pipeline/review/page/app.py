"""The server's addresses: pages, pictures, and what the pages ask for."""

from datetime import date
from pathlib import Path
from string import Template
from typing import Annotated, Any

from fastapi import FastAPI, Request, UploadFile
from fastapi.responses import HTMLResponse, JSONResponse, Response
from fastapi.staticfiles import StaticFiles
from pydantic import BaseModel, ConfigDict, Field

from pipeline.errors import ResumableError, UsageError, WallabyError
from pipeline.review.page.assignment import Answer, ChangedError, StaleError, TakenError
from pipeline.review.page.auditing import Auditing
from pipeline.review.page.queues import Filter
from pipeline.review.page.reviewing import Reviewing
from pipeline.review.page.safety import Guard, Rules
from pipeline.review.page.thumbnails import NoPictureError, Thumbnails
from pipeline.review.page.trying import LARGEST, Trial
from pipeline.web.bodies import Bodies

STATIC = Path(__file__).parent / "static"
MOST_CARDS = 200  # dealt at once
MOST_FORM = 65_536  # bytes of a form around its picture
MOST_JSON = 4_000_000  # bytes: the decisions of a large grid
MOST_AT_ONCE = 8 * LARGEST  # bytes of all requests that are under way
BODY_SECONDS = 60.0  # in which a request must have come as a whole
FOREVER = "private, max-age=31536000, immutable"  # an address names the content

Name = Annotated[str, Field(min_length=1, max_length=60, pattern=r"^[^\x00-\x1f,;\"]+$")]
Tab = Annotated[str, Field(max_length=40, pattern=r"^[a-z0-9-]*$")]
Row = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Wanted(Body):
    label: str = ""
    cluster: str = ""
    least: float = 0.0
    most: float = 1.0
    folder: str = ""
    origin: str = ""
    since: date | None = None
    until: date | None = None
    text: str = ""
    order: str = "rank"


class Dealing(Body):
    by: Name
    tab: Tab = ""
    number: Annotated[int, Field(ge=1, le=MOST_CARDS)] = 12
    filter: Wanted = Wanted()
    have: list[Row] = []
    skip: list[Row] = []
    again: bool = False


class Said(Body):
    row: Row
    decision: str
    label: Annotated[str, Field(max_length=200)] = ""
    subclass: Annotated[str, Field(max_length=200)] = ""
    rows: list[Row] = []


class Deciding(Body):
    by: Name
    version: str
    answers: Annotated[list[Said], Field(min_length=1, max_length=10 * MOST_CARDS)]
    seconds: Annotated[float, Field(ge=0, le=3600)] = 0.0
    blind: bool = False
    bulk: bool = False


class Judged(Body):
    request: str
    position: Row


class Leaving(Body):
    by: Name
    tab: Tab


class AuditDealing(Body):
    number: Annotated[int, Field(ge=1, le=MOST_CARDS)] = 12
    have: list[Judged] = []


class Judging(Judged):
    by: Name
    verdict: str
    truth: Annotated[str, Field(max_length=200)] = ""


class Undoing(Body):
    by: Name


class TakingBack(Body):
    by: Name
    version: str
    rows: Annotated[list[Row], Field(min_length=1, max_length=10 * MOST_CARDS)]


def create(reviewing: Reviewing, trial: Trial, audit: Auditing, rules: Rules, *, by: str = "") -> FastAPI:
    """Builds the web application of the review page.

    Args:
      by: the reviewer's name where the browser has not given one.
    """
    app = FastAPI(title="Wallaby review", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(Bodies, most=_largest, seconds=BODY_SECONDS, at_once=MOST_AT_ONCE)
    app.add_middleware(Guard, rules=rules)

    def pictured(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{**row, "picture": reviewing.thumbnails.address(row["image"], row["sha256"])} for row in rows]

    @app.exception_handler(WallabyError)
    def refused(request: Request, error: WallabyError) -> JSONResponse:
        statuses = {StaleError: 409, TakenError: 409, ChangedError: 409, ResumableError: 507, UsageError: 400}
        kinds = {StaleError: "stale", TakenError: "taken", ChangedError: "changed", ResumableError: "disk"}
        status, kind = statuses.get(type(error), 422), kinds.get(type(error), "data")
        told = {"error": error.what, "where": error.where, "mend": error.mend, "kind": kind}
        return JSONResponse(told, status)

    @app.get("/")
    def home() -> Response:
        return page("Review", "home.js")

    @app.get("/queue/{name}")
    def review(name: str) -> Response:
        return page("Review", "review.js")

    @app.get("/api/overview")
    def overview() -> dict[str, Any]:
        return reviewing.overview()

    @app.get("/api/reviewers")
    def reviewers() -> list[dict[str, Any]]:
        return reviewing.reviewers()

    @app.get("/api/yields")
    def yields() -> list[dict[str, Any]]:
        return reviewing.yields()

    @app.get("/api/who")
    def who() -> dict[str, str]:
        return {"by": by}

    @app.get("/api/classes")
    def classes() -> list[dict[str, Any]]:
        return reviewing.context.classes()

    @app.get("/api/class")
    def one_class(label: str) -> dict[str, Any]:
        return reviewing.candidate(label)

    @app.get("/api/nearest")
    def nearest(image: str, sha256: str) -> dict[str, Any]:
        network, found = reviewing.context.nearest(image, sha256)
        return {"known": found is not None, "nearest": pictured(found or []), "seen_by": network}

    @app.get("/api/queue/{name}")
    def about(name: str) -> dict[str, Any]:
        return reviewing.about(name)

    @app.post("/api/queue/{name}/deal")
    def deal(name: str, body: Dealing) -> dict[str, Any]:
        wanted = Filter(**body.filter.model_dump())
        hand = (body.have, body.skip)
        return reviewing.deal(name, body.by, wanted, body.number, *hand, again=body.again, tab=body.tab)

    @app.post("/api/queue/{name}/leave")
    def leave(name: str, body: Leaving) -> dict[str, Any]:
        reviewing.release(name, body.by, body.tab)
        return {}

    @app.post("/api/queue/{name}/decide")
    def decide(name: str, body: Deciding) -> dict[str, Any]:
        answers = [
            Answer(said.row, said.decision, said.label.strip(), tuple(said.rows), said.subclass.strip())
            for said in body.answers
        ]
        decided = reviewing.decide(
            name, body.by, body.version, answers, seconds=body.seconds, blind=body.blind, bulk=body.bulk
        )
        return {"decided": len(decided.stroke.rows), "late": decided.late, "changed": decided.changed}

    @app.post("/api/queue/{name}/undo")
    def undo(name: str, body: Undoing) -> dict[str, Any]:
        return reviewing.undo(name, body.by)

    @app.post("/api/queue/{name}/take_back")
    def take_back(name: str, body: TakingBack) -> dict[str, Any]:
        return reviewing.take_back(name, body.by, body.version, body.rows)

    @app.post("/api/queue/{name}/last")
    def last(name: str, body: Undoing) -> dict[str, Any]:
        return reviewing.last(name, body.by)

    @app.get("/try")
    def try_a_picture() -> Response:
        return page("Try a picture", "try.js")

    @app.get("/api/model")
    def model() -> dict[str, Any]:
        told = trial.which()
        trial.prepare()
        return told | {"waited": trial.waited()}

    @app.post("/api/try")
    def name_a_picture(picture: UploadFile) -> dict[str, Any]:
        told = trial.name(picture.file.read(LARGEST + 1))
        return told | {"alike": pictured(told["alike"])}

    @app.get("/audit")
    def judge_served_pictures() -> Response:
        return page("Audit", "audit.js")

    @app.get("/api/audit")
    def waiting() -> dict[str, int | None]:
        return {"waiting": audit.waiting()}

    @app.get("/api/audit/classes")
    def served_classes() -> list[str]:
        return audit.classes()

    @app.post("/api/audit/deal")
    def deal_served(body: AuditDealing) -> dict[str, Any]:
        return audit.cards(body.number, [(one.request, one.position) for one in body.have])

    @app.post("/api/audit/say")
    def judge(body: Judging) -> dict[str, str]:
        told = {"verdict": body.verdict, "truth": body.truth.strip()}
        audit.say(body.by, request=body.request, position=body.position, **told)
        return told

    @app.get("/audit/picture")
    def served_picture(image: str, key: str, side: int, sha256: str = "") -> Response:
        return thumbnail(audit.thumbnails, image, key, side, sha256)

    @app.get("/picture")
    def picture(image: str, key: str, side: int, sha256: str = "") -> Response:
        return thumbnail(reviewing.thumbnails, image, key, side, sha256)

    def thumbnail(of: Thumbnails, image: str, key: str, side: int, sha256: str) -> Response:
        try:
            data = of.get(image, sha256, side, key)
        except NoPictureError as reason:
            return Response(str(reason), 404, {"cache-control": "no-store"}, "text/plain; charset=utf-8")
        cached = {"cache-control": FOREVER if sha256 else "private, max-age=60"}
        return Response(data, 200, cached, "image/jpeg")

    app.mount("/static", StaticFiles(directory=STATIC), "static")
    return app


def _largest(scope: dict[str, Any]) -> int:
    """Bytes that the body of a request may have."""
    if scope["method"] != "POST":
        return 0
    return LARGEST + MOST_FORM if scope["path"] == "/api/try" else MOST_JSON


def page(title: str, script: str) -> Response:
    whole = Template((STATIC / "page.html").read_text()).substitute(title=title, script=script)
    return HTMLResponse(whole, headers={"cache-control": "no-store"})
