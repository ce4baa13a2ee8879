"""What all tests share: no example of a property is timed, and slow tests are marked."""

import hypothesis

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
