"""What tests of pages share: pictures, a page's elements, and the page as a real browser shows it."""

import io
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

from PIL import Image

CHROMIUM = next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)
NASTY = "pool/<script>document.title='owned'</script>\"><img src=x onerror=alert(1)>.jpg"


def uri(image: str) -> str:
    """A painted picture, a colour an image name length; none for an image called broken."""
    if "broken" in image:
        return ""
    return "data:image/png;hex," + picture(image).hex()


def picture(image: str) -> bytes:
    """As `uri`, encoded."""
    if "broken" in image:
        return b""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), (len(image) * 7 % 256, 90, 120)).save(buffer, "PNG")
    return buffer.getvalue()


class Elements(HTMLParser):
    """Collects (tag, attributes) and the text outside of style and script."""

    def __init__(self, page: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = []
        self.text = ""
        self._silent = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.elements.append((tag, dict(attrs)))
        self._silent = tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._silent = False

    def handle_data(self, data: str) -> None:
        self.text += "" if self._silent else data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.elements if name == tag]


def in_a_browser(page: str, script: str, folder: Path) -> str:
    """The page's document after its own script and then `script` have run in a browser."""
    assert CHROMIUM is not None
    file = folder / "page.html"
    file.write_text(page.replace("</body>", f"<script>{script}</script></body>"), encoding="utf-8")
    quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
    quiet += ["--disable-component-update", "--disable-sync", f"--user-data-dir={folder / 'profile'}"]
    command = [
        CHROMIUM,
        "--headless",
        "--no-sandbox",
        "--window-size=1280,900",
        *quiet,
        "--virtual-time-budget=2000",
        "--dump-dom",
        file.as_uri(),
    ]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
