"""A server as a user starts it, and Debian's browser."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CHROMIUM = shutil.which("chromium") or ""
BY = "localStorage.setItem('wallaby.by', {!r})"


class Server:
    """`wallaby review` in a workspace."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.start()

    def start(self, *arguments: str, **options) -> None:
        program = "from pipeline.cli import main; main()"
        self.process = subprocess.Popen(
            [sys.executable, "-c", program, "review", "--no-browser", *(arguments or ("--port", "0"))],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            text=True,
            **options,
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address.startswith("http"), "the server has not started"

    def kill(self) -> None:
        """As a power cut: no chance to put anything in order."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def serve():
    """Starts a server in a folder; all are killed in the end."""
    servers: list[Server] = []

    def start(folder: Path) -> Server:
        servers.append(Server(folder))
        return servers[-1]

    yield start
    for server in servers:
        server.kill()


@pytest.fixture(scope="session")
def chromium():
    if not CHROMIUM:
        pytest.skip("there is no chromium here")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Opens a page as a person with a name; a fault in its scripts fails the test."""
    opened, faults = [], []

    def open_(address: str, by: str = "ann", width: int = 1280, height: int = 720, **options):
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        opened.append(context)
        if by:
            context.add_init_script(BY.format(by))
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(address)
        return page

    yield open_
    for context in opened:
        context.close()
    assert not faults
