"""The service's addresses."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi_offline import FastAPIOffline
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import ValidationError
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect

from pipeline.errors import ResumableError, UsageError
from pipeline.serving import contract, fetching
from pipeline.serving.contract import refusals
from pipeline.serving.door import Door
from pipeline.serving.fetching import EndingError, Fetcher
from pipeline.serving.keys import Keys
from pipeline.serving.served import or_none
from pipeline.serving.service import BUSY, NO_PICTURE, OK, Asker, Service
from pipeline.web import loopback
from pipeline.web.bodies import Bodies, Message

AGAIN = {"retry-after": "1"}
MOST_FEEDBACK = 65_536  # bytes; the longest judgement, each letter escaped, takes half of it
MOST_ADDRESS = 12_000  # bytes of an address, each letter escaped


class RefusedError(Exception):
    """A request that is not looked at."""

    def __init__(self, status: int, error: str, *, mend: str = "", headers: dict[str, str] | None = None):
        super().__init__(error)
        self.status, self.mend, self.headers = status, mend, headers or {}


def create(
    service: Service,
    keys: Keys | None,
    *,
    max_megabytes: float,
    max_megabytes_at_once: float,
    body_seconds: float,
    max_pictures: int,
    allowed_urls: Sequence[str],
) -> FastAPI:
    """Builds the web application that answers the service's clients.

    Args:
      keys: of those who may ask; None: whoever reaches this machine's loopback may.
      max_megabytes: of a body, 10^6 bytes, or of the images that are fetched for one.
      max_megabytes_at_once: of all bodies that are under way.
      body_seconds: in which a body must have come.
      max_pictures: images of a request.
      allowed_urls: beginnings of addresses that images are fetched from.

    Returns:
      The application; `state.fetcher` is to be closed when the service shall end.
    """
    app = FastAPIOffline(
        title="Wallaby",
        description="Names what is in a picture, and remembers what it said.",
        redoc_url=None,
        static_url="/docs/files",
        swagger_ui_parameters={"validatorUrl": None},  # else the page sends its address to a site that checks it
    )
    most = int(max_megabytes * 1e6)
    count = partial(_count, service)
    app.add_middleware(
        Bodies,
        most=partial(_largest, most, max_pictures),
        seconds=body_seconds,
        at_once=int(max_megabytes_at_once * 1e6),
        refused=count,
    )
    app.add_middleware(Door, keys=keys, refused=count)
    if keys is None:  # a page of another site could else call this machine by a name of its own
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=[loopback.in_url(name) for name in loopback.NAMES])
    _tell_refusals(app, service)
    ask = _client_by_key if keys else _client
    fetcher = app.state.fetcher = Fetcher(most=most)
    everywhere = (401, 429) if keys else (403,)

    @app.get("/health", response_model=contract.Health)
    async def health() -> dict[str, Any]:
        trouble = service.health.problems
        return {"status": "degraded" if trouble else "ok", "trouble": trouble}

    @app.get("/version", response_model=contract.Version, responses=refusals(*everywhere))
    async def version(client: Annotated[str, Depends(ask)]) -> dict[str, Any]:
        served, candidate = service.releases.served, service.releases.candidate
        own = {"model": served.model, "version": served.version, "runtime": served.runtime}
        return own | {"candidate": None if candidate is None else candidate.model}

    @app.get("/classes", response_model=contract.Classes, responses=refusals(*everywhere))
    async def classes(client: Annotated[str, Depends(ask)]) -> dict[str, Any]:
        served = service.releases.served
        limits = served.thresholds
        own = {} if limits is None else {name: or_none(limit) for name, limit in limits.classes.items()}
        overall = None if limits is None else or_none(limits.threshold)
        return {"classes": served.classes, "threshold": overall, "thresholds": own}

    @app.get("/metrics", responses={**refusals(*everywhere), 200: {"content": {"text/plain": {}}}})
    async def metrics(client: Annotated[str, Depends(ask)]) -> Response:
        return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)

    bodies = contract.BODIES
    if allowed_urls:
        by_url = {"application/json": {"schema": contract.Urls.model_json_schema()}}
        bodies = {**bodies, "content": {**bodies["content"], **by_url}}

    async def named(asker: Asker, sent: list[bytes], urls: list[str]) -> dict[str, Any]:
        return await service.identify(asker, await fetcher.fetch(urls) if urls else sent)

    @app.post(
        "/predict",
        responses={
            200: {"model": contract.Answers},
            422: {"model": contract.Answers | contract.Refusal, "description": "no picture that can be read"},
            **refusals(*everywhere, 400, 403, 408, 413, 503),
        },
        openapi_extra={"requestBody": bodies},
    )
    async def predict(
        request: Request, client: Annotated[str, Depends(ask)], user: Annotated[contract.User, Query()] = ""
    ) -> JSONResponse:
        """Names the pictures of a request: one or several files, or the bytes of a picture."""
        sent, urls = await _sent(request, max_pictures, allowed_urls)
        if keys is not None:
            keys.charge(request.state.key, max(len(sent), len(urls)) - 1)
        said = await _while_there(request, named(Asker(client, user), sent, urls))
        statuses = {picture["status"] for picture in said["pictures"]}
        status = OK if OK in statuses else max(statuses)
        if status == OK:
            return JSONResponse(said)
        if len(said["pictures"]) > 1 and status == NO_PICTURE:
            return JSONResponse(said, status)
        [error, *_] = [picture["error"] for picture in said["pictures"] if picture["status"] == status]
        told = {"error": error, "where": "", "mend": "", "request_id": said["request_id"]}
        return JSONResponse(told, status, AGAIN if status == BUSY else None)

    @app.post(
        "/feedback",
        status_code=201,
        response_model=contract.Judged,
        responses=refusals(*everywhere, 400, 404, 408, 413, 422, 503),
    )
    async def feedback(client: Annotated[str, Depends(ask)], body: contract.Judgement) -> dict[str, Any]:
        """Records whether an answer was right."""
        values = body.model_dump(exclude={"user"})
        if await service.judge(Asker(client, body.user), **values) is False:
            raise RefusedError(404, contract.REFUSALS[404], mend="the request_id of an answer, and its position")
        return {"recorded": True}

    return app


async def _client(request: Request) -> str:
    return str(request.state.client)


async def _client_by_key(
    request: Request,
    bearer: Annotated[Any, Depends(HTTPBearer(auto_error=False))],
    header: Annotated[Any, Depends(APIKeyHeader(name="x-api-key", auto_error=False))],
) -> str:
    """The door has looked at the key; its schemes stand here for the description."""
    return str(request.state.client)


def _largest(most: int, max_pictures: int, scope: Message) -> int:
    """Bytes that the body of a request may have; of what is parsed as JSON, little."""
    if scope["method"] != "POST" or scope["path"] not in ("/predict", "/feedback"):
        return 0
    if scope["path"] == "/feedback":
        return MOST_FEEDBACK
    kind = dict(scope["headers"]).get(b"content-type", b"").partition(b";")[0].strip().lower()
    return min(most, max_pictures * MOST_ADDRESS) if kind == b"application/json" else most


def _count(service: Service, status: int) -> None:
    service.metrics.refused.labels(status).inc()


async def _while_there(request: Request, work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """Drops what a client has asked for when it goes.

    Args:
      request: its body has been read.

    Raises:
      ClientDisconnect: if it has gone.
    """
    doing = asyncio.create_task(work)
    gone = asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({doing, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            raise ClientDisconnect
        return doing.result()
    finally:
        gone.cancel()
        doing.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _tell_refusals(app: FastAPI, service: Service) -> None:
    """Every refusal says what is wrong, where, and how to mend it; none shows what a program has stumbled over."""

    def told(
        status: int, error: str, where: str = "", mend: str = "", headers: Mapping[str, str] | None = None
    ) -> JSONResponse:
        _count(service, status)
        return JSONResponse({"error": error, "where": where, "mend": mend}, status, headers)

    @app.exception_handler(RefusedError)
    async def refused(request: Request, error: RefusedError) -> JSONResponse:
        return told(error.status, str(error), mend=error.mend, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]).encode("ascii", "replace").decode()
        return told(422, str(first["msg"]), where)

    @app.exception_handler(HTTPException)
    async def by_http(request: Request, error: HTTPException) -> JSONResponse:
        return told(error.status_code, str(error.detail), headers=error.headers)

    @app.exception_handler(fetching.FetchError)
    async def not_fetched(request: Request, error: fetching.FetchError) -> JSONResponse:
        return told(BUSY, str(error), headers=AGAIN) if isinstance(error, EndingError) else told(422, str(error))

    @app.exception_handler(UsageError)
    async def foreign(request: Request, error: UsageError) -> JSONResponse:
        return told(403, error.what, error.where, error.mend)

    @app.exception_handler(ResumableError)
    async def unrecorded(request: Request, error: ResumableError) -> JSONResponse:
        return told(BUSY, f"what would be said cannot be recorded: {error.what}", headers=AGAIN)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, error: ClientDisconnect) -> JSONResponse:
        return told(400, "the client has gone before it was answered")


async def _sent(request: Request, max_pictures: int, allowed: Sequence[str]) -> tuple[list[bytes], list[str]]:
    """The pictures that were sent to be named, or their addresses."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        return [], _addresses(await request.body(), max_pictures, allowed)
    sent = await _files(request, max_pictures) if kind == "multipart/form-data" else [await request.body()]
    if not sent:
        raise RefusedError(422, "there is no picture in the request", mend="send files by the name `file`")
    return sent, []


async def _files(request: Request, max_pictures: int) -> list[bytes]:
    try:
        async with request.form(max_files=max_pictures, max_fields=max_pictures) as form:
            return [await part.read() for _, part in form.multi_items() if isinstance(part, UploadFile)]
    except (HTTPException, LookupError, UnicodeError) as error:  # what the parser could not read
        reason = error.detail if isinstance(error, HTTPException) else "in no character set that is known"
        raise RefusedError(422, f"the form cannot be read: {reason}", mend=f"at most {max_pictures} files") from None


def _addresses(body: bytes, max_pictures: int, allowed: Sequence[str]) -> list[str]:
    try:
        urls = contract.Urls.model_validate_json(body).urls
    except ValidationError:
        raise RefusedError(422, "not a list of addresses", mend='{"urls": ["https://..."]}, or send files') from None
    if len(urls) > max_pictures:
        raise RefusedError(422, f"more than {max_pictures} addresses")
    for url in urls:
        fetching.refuse_foreign(url, allowed)
    return urls
