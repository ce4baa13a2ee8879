"""The random audit in the page: served pictures that were drawn by chance, and what a person says of the answers."""

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import DataError
from pipeline.library import lookup
from pipeline.review.page.thumbnails import Thumbnails
from pipeline.serving.verdicts import AUDIT

if TYPE_CHECKING:  # they take a second to import, and the queues need not wait for it
    import pandas as pd
    import sqlalchemy as sa

SERVED = "served"  # the root that the folder of kept pictures is here
SQLITE = "sqlite:///"


class Auditing:
    """Opens the store when it is first asked.

    Args:
      url: of the store.
      kept: the folder where the service keeps pictures.
      folders: every root's folder, by name.
      index: where the tables of what the roots hold are: a picture that they have is not kept twice.
      cache: for what can be made again.
      clock: now, in microseconds since 1970.
    """

    def __init__(
        self,
        *,
        url: str,
        kept: Path,
        folders: dict[str, Path],
        index: Path,
        cache: Path,
        clock: Callable[[], int] = lambda: time.time_ns() // 1000,
    ):
        self._url, self._index, self._clock = url, index, clock
        self.thumbnails = Thumbnails({**folders, SERVED: kept}, cache)
        self._opened: sa.Engine | None = None
        self._lock = threading.Lock()

    def waiting(self) -> int | None:
        """How many decisions are open, one per content and answer; None where nothing has been served."""
        engine = self._engine()
        if engine is None:
            return None
        from pipeline.serving import audits

        return audits.waiting(engine).decisions

    def cards(self, number: int, have: list[tuple[str, int]]) -> dict[str, Any]:
        """The next images that nobody has judged, one per content and answer; `left` is how many there are.

        Args:
          have: request and position of those in hand.

        Raises:
          DataError: where nothing has been served.
        """
        engine = self._served()
        import pandas as pd

        from pipeline.serving import audits

        rows = audits.queue(engine)
        keys = pd.MultiIndex.from_frame(rows[["request_id", "position"]])
        some = rows[~keys.isin(have)].head(number)
        return {"left": len(rows), "cards": self._pictured(some)}

    def say(self, by: str, *, request: str, position: int, verdict: str, truth: str) -> None:
        """Records a verdict, for all that was drawn of this content; a later one of the same person takes its place.

        Raises:
          DataError: as `evaluations.record`, or where nothing has been served.
        """
        engine = self._served()
        from pipeline.serving import evaluations

        one = {"request_id": request, "position": str(position), "verdict": verdict, "truth": truth, "source": AUDIT}
        evaluations.record(engine, [one], by=by, at=self._clock())

    def classes(self) -> list[str]:
        """Every class that a model which has served knows; none where nothing has been served."""
        engine = self._engine()
        if engine is None:
            return []
        from pipeline.serving.reports.log import Log

        return sorted({label for labels in Log(engine).releases()["classes"] for label in labels})

    def _pictured(self, rows: "pd.DataFrame") -> list[dict[str, Any]]:
        elsewhere = lookup.images_of(rows.loc[rows["path"] == "", "sha256"].tolist(), self._index)
        cards = []
        for row in rows.to_dict("records"):
            image = f"{SERVED}/{row['path']}" if row["path"] else elsewhere.get(row["sha256"], "")
            shown = {name: row[name] for name in ("label", "score", "version", "at")} | {"shown": bool(row["shown"])}
            key = {"request": row["request_id"], "position": int(row["position"])}
            top = [{"label": a, "score": b} for a, b in zip(row["top_labels"], row["top_scores"], strict=False)]
            address = "/audit" + self.thumbnails.address(image, row["sha256"])
            cards.append({**key, **shown, "top": top, "image": image, "picture": address})
        return cards

    def _served(self) -> "sa.Engine":
        engine = self._engine()
        if engine is None:
            advice = "`wallaby serve`, then `wallaby audit --draw NUMBER`"
            raise DataError("nothing has been served yet", where=self._url, mend=advice)
        return engine

    def _engine(self) -> "sa.Engine | None":
        """The store; None where no service has made one: looking at it makes none."""
        with self._lock:
            if self._opened is None and not self._lacks_file():
                from pipeline.serving.store.opening import open_existing

                self._opened = open_existing(self._url)
            return self._opened

    def _lacks_file(self) -> bool:
        """Whether it is plain that there is no store, without importing what opens one."""
        return self._url.startswith(SQLITE) and not Path(self._url.removeprefix(SQLITE)).exists()
