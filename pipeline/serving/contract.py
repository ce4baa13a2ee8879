"""What the service takes and tells, as its OpenAPI description says it."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

TEXT = r"^[^\x00-\x1f\x7f]*$"  # no database and no page chokes on it

User = Annotated[str, Field(max_length=100, pattern=TEXT)]
RequestId = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]


class Top(BaseModel):
    label: str
    score: float


class Answer(BaseModel):
    """Of one picture: what the model says, or in `error` why it says nothing."""

    position: int
    status: int
    sha256: str
    error: str | None = None
    width: int | None = None
    height: int | None = None
    model: str | None = Field(None, description="digest of the model that answered")
    version: str | None = None
    label: str | None = Field(None, description="the likeliest class, also where it is withheld")
    score: float | None = Field(None, description="its calibrated probability")
    threshold: float | None = Field(None, description="from which score on this class is shown; null: never")
    shown: bool | None = None
    answer: str | None = Field(None, description="what to tell a user: the label, or `unknown` if it is withheld")
    top: list[Top] = []
    latency_ms: float | None = None


class Answers(BaseModel):
    request_id: str
    latency_ms: float
    pictures: list[Answer]


class Refusal(BaseModel):
    """What is wrong, where, and how to mend it."""

    error: str
    where: str = ""
    mend: str = ""
    request_id: str | None = None


class Urls(BaseModel):
    model_config = ConfigDict(extra="forbid")

    urls: Annotated[list[Annotated[str, Field(max_length=2000)]], Field(min_length=1)]


class Judgement(BaseModel):
    model_config = ConfigDict(extra="forbid")

    request_id: RequestId
    position: Annotated[int, Field(ge=0, lt=2**31)] = 0
    verdict: Literal["right", "wrong", "not-in-classes", "unusable"]
    label: Annotated[str, Field(max_length=200, pattern=TEXT)] = ""
    note: Annotated[str, Field(max_length=2000, pattern=r"^[^\x00-\x08\x0b-\x1f\x7f]*$")] = ""
    user: User = ""


class Judged(BaseModel):
    recorded: bool


class Health(BaseModel):
    """`trouble` names what does not work although requests are answered: the store, or a new release."""

    status: Literal["ok", "degraded"]
    trouble: list[str]


class Version(BaseModel):
    model: str
    version: str
    runtime: str
    candidate: str | None


class Classes(BaseModel):
    classes: list[str]
    threshold: float | None
    thresholds: dict[str, float | None]


REFUSALS: dict[int, str] = {
    400: "the request was cut short",
    401: "the key is missing or nobody's",
    403: "not from this address",
    404: "there is no such answer of yours",
    408: "the body came too slowly",
    413: "too large",
    422: "not what is asked for; a picture that cannot be read, say",
    429: "too many requests for this key",
    503: "too busy, or what would be said cannot be recorded",
}
FILES = {
    "type": "object",
    "properties": {"file": {"type": "array", "minItems": 1, "items": {"type": "string", "format": "binary"}}},
    "required": ["file"],
}
BODIES: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {"schema": FILES},
        "application/octet-stream": {"schema": {"type": "string", "format": "binary", "minLength": 1}},
    },
}


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    return {status: {"model": Refusal, "description": REFUSALS[status]} for status in statuses}
