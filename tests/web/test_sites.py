"""What a browser says of where a request comes from."""

import pytest

from pipeline.web.sites import is_cross_site


def request(method: str = "POST", **headers: str) -> dict:
    named = {"host": "localhost:8600", **{name.replace("_", "-"): value for name, value in headers.items()}}
    return {"method": method, "headers": [(name.encode(), value.encode()) for name, value in named.items()]}


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"origin": "http://localhost:81"},
        {"origin": "http://["},
        {"sec_fetch_site": "cross-site"},
        {"sec_fetch_site": "same-site", "sec_fetch_mode": "navigate"},
    ],
)
def test_a_page_of_another_site_or_of_another_port_is_told_by_its_browser(headers):
    assert is_cross_site(request(**headers))


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"origin": "http://localhost:8600"},
        {"origin": "http://LOCALHOST:8600"},
        {"sec_fetch_site": "same-origin"},
        {"sec_fetch_site": "none"},
    ],
)
def test_the_server_s_own_pages_and_clients_that_are_no_browser_may_ask(headers):
    assert not is_cross_site(request(**headers))


def test_a_link_may_be_followed_and_a_picture_may_not_be_taken():
    assert not is_cross_site(request("GET", sec_fetch_site="cross-site", sec_fetch_mode="navigate"))
    assert is_cross_site(request("GET", sec_fetch_site="cross-site", sec_fetch_mode="no-cors"))
