"""What all tests share: builders are importable, and no example of a property is timed."""

import sys
from pathlib import Path

import hypothesis

sys.path.insert(0, str(Path(__file__).parent / "library"))

hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_collection_modifyitems(items):
    """Marks what `scripts/test --quick` leaves out: runs of whole rounds, and pages in a real browser."""
    for item in items:
        if "e2e" in item.path.parts:
            item.add_marker("end_to_end")
        if "chromium" in item.fixturenames or any(
            "chromium" in str(mark.kwargs) for mark in item.iter_markers("skipif")
        ):
            item.add_marker("browser")
