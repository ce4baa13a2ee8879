"""What a service counts and measures, as Prometheus reads it."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
PICTURES = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """Of one service; several in a process do not mix."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        own: Any = {"registry": self._registry, "namespace": "wallaby"}
        self.answered = Counter("pictures", "Pictures, by what became of them", ["status", "shown"], **own)
        self.refused = Counter("refused_requests", "Requests that were not looked at, by status", ["status"], **own)
        self.seconds = Histogram("answer_seconds", "From the whole picture to its answer", buckets=SECONDS, **own)
        self.batch = Histogram("batch_pictures", "Pictures in the network at once", buckets=PICTURES, **own)
        self.feedback = Counter("feedback", "Complaints and confirmations", ["verdict"], **own)
        self._model = Gauge("model_info", "The model that answers", ["model", "version", "runtime"], **own)
        self._own = own

    def watch(self, name: str, help: str, value: Callable[[], float]) -> None:
        """Asks for a value whenever it is read."""
        Gauge(name, help, **self._own).set_function(value)

    def serves(self, model: str, version: str, runtime: str) -> None:
        self._model.clear()
        self._model.labels(model, version, runtime).set(1)

    def text(self) -> bytes:
        return generate_latest(self._registry)
