"""`wallaby ui`: MLflow's page on the rounds, with the columns and curves that tell them apart."""

import signal
import socket
import subprocess
import sys
import time
import urllib.request
import webbrowser

from pipeline.commands import Answer, log
from pipeline.commands.gate import record_verdict
from pipeline.errors import DataError, ResumableError
from pipeline.tracking import ABLATIONS, EXPERIMENT, THROWAWAYS, Tracking
from pipeline.tracking.views import address
from pipeline.web import loopback
from pipeline.workspace import Workspace

APART = {THROWAWAYS: "throw-away runs", ABLATIONS: "ablations"}
HOST = "127.0.0.1"
SECONDS = 120.0  # until the server answers
SECONDS_TO_END = 10.0


def ui(workspace: Workspace, *, port: int, browser: bool) -> Answer:
    """Serves the store on this machine until Ctrl-C; of a server that the user has, it only says the page's address.

    A store that was moved or copied is repaired first, and what could not be logged so far is logged.

    Args:
      browser: whether to open the page.

    Raises:
      DataError: if there is no round yet.
      ResumableError: if the server does not start, for example since another one has the port.
    """
    record_verdict(workspace)
    tracking = Tracking(workspace.home)
    experiments = tracking.experiments()
    if EXPERIMENT not in experiments:
        raise DataError("MLflow has no round yet", where=tracking.address, mend="run `dvc repro`, or `scripts/round`")
    tracking.save_view()
    if tracking.uri.startswith("http"):
        pages = _pages(tracking.uri, experiments)
        if browser:
            webbrowser.open(pages["table"])
        return Answer(pages, _text(pages))
    _refuse_taken(port)
    pages = _pages(loopback.url(HOST, port), experiments)
    server = subprocess.Popen(
        [
            *(sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", tracking.uri),
            *(("--default-artifact-root", tracking.artifacts_uri) if tracking.is_here else ()),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    signal.signal(signal.SIGTERM, lambda *_: server.terminate())  # else the server would outlive the command
    try:
        _wait(server, f"{loopback.url(HOST, port)}health", port)
        log(f"{_text(pages)}\nCtrl-C ends it")
        if browser:
            webbrowser.open(pages["table"])
        server.wait()
    except KeyboardInterrupt:
        pass
    finally:
        _end(server)
    return Answer(pages, "")


def _end(server: subprocess.Popen) -> None:
    server.terminate()
    try:
        server.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()


def _pages(server: str, experiments: dict[str, str]) -> dict[str, str]:
    rounds = experiments[EXPERIMENT]
    pages = {"table": address(server, rounds), "charts": address(server, rounds, charts=True)}
    return pages | {name: address(server, experiments[name]) for name in APART if name in experiments}


def _text(pages: dict[str, str]) -> str:
    named = {"the rounds as a table": pages["table"], "the rounds as charts": pages["charts"]}
    named |= {title: pages[name] for name, title in APART.items() if name in pages}
    return "\n".join(f"{title:<22} {page}" for title, page in named.items())


def _refuse_taken(port: int) -> None:
    try:
        socket.create_connection((HOST, port), timeout=1).close()
    except OSError:
        return  # nobody listens
    raise ResumableError(
        f"another program has port {port}", where="wallaby ui", mend="`wallaby ui --port N` takes another port"
    )


def _wait(server: subprocess.Popen, health: str, port: int) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and server.poll() is None:
        try:
            with urllib.request.urlopen(health, timeout=5):
                if server.poll() is None:
                    return
        except OSError:
            time.sleep(0.5)
    raise ResumableError(
        "MLflow's server does not start", where=f"port {port}", mend="`wallaby ui --port N` takes another port"
    )
