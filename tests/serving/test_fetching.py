"""What is fetched for a client, and what never is."""

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.errors import UsageError
from pipeline.serving import fetching
from tests.serving.made_up_site import drip, site


@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "file:///etc/passwd",
        "https://pictures.example.org@evil.example/a.jpg",
        "https://pictures.example.org.evil.example/a.jpg",
        "https://pictures.example.org/public/../secret.jpg",
        "https://pictures.example.org/public/%2e%2e/secret.jpg",
        "https://pictures.example.org/public/%252e%252e/secret.jpg",
        "https://pictures.example.org/public/%25252525252e%252525252e/secret.jpg",
        "https://pictures.example.org/public/..;/secret.jpg",
        "https://pictures.example.org/public/..\\secret.jpg",
        "https://pictures.example.org/public/..%5csecret.jpg",
        "https://pictures.example.org/public/a%5c%2e%2e%5csecret.jpg",
        "https://pictures.example.org/public/a.jpg\r\nHost: evil",
        "HTTPS://PICTURES.EXAMPLE.ORG/public/a.jpg",
    ],
)
def test_only_what_lies_below_an_address_that_is_allowed_is_fetched(url):
    with pytest.raises(UsageError, match="not fetched"):
        fetching.refuse_foreign(url, ["https://pictures.example.org/public/"])
    fetching.refuse_foreign(
        "https://pictures.example.org/public/a..b.jpg?x=1", ["https://pictures.example.org/public/"]
    )


def fetch(*urls: str, **options) -> list[bytes]:
    async def fetched() -> list[bytes]:
        return await fetching.Fetcher(**({"most": 1000} | options)).fetch(urls)

    with ThreadPoolExecutor(1) as threads:  # where browser tests ran before, this thread has a loop already
        return threads.submit(asyncio.run, fetched()).result()


def test_a_picture_is_fetched_but_no_redirect_is_followed_and_no_large_one_read():
    answers = {"/moved": (302, {"location": "/large"}, b""), "/gone": (404, {}, b""), "/large": (200, {}, b"x" * 2000)}
    with site(lambda path: answers.get(path, (200, {}, b"x" * 10))) as address:
        assert fetch(f"{address}/picture", f"{address}/another") == [b"x" * 10] * 2
        for path, why in (("moved", "answers 302"), ("gone", "answers 404"), ("large", "more than")):
            with pytest.raises(fetching.FetchError, match=why):
                fetch(f"{address}/picture", f"{address}/{path}")


def test_the_images_of_a_request_together_have_no_more_bytes_than_one_may_have():
    with site(lambda path: (200, {}, b"x" * 400)) as address:
        assert len(fetch(f"{address}/a", f"{address}/b")) == 2
        with pytest.raises(fetching.FetchError, match="more than"):
            fetch(f"{address}/a", f"{address}/b", f"{address}/c")


def test_an_address_that_does_not_answer_says_so():
    with pytest.raises(fetching.FetchError, match="does not answer"):
        fetch("http://127.0.0.1:1/a")


@pytest.mark.parametrize("beginning", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n"])
def test_one_deadline_holds_for_all_that_a_slow_host_sends(beginning):
    """It sends a byte ten times a second: no single read waits long, and the whole would take a minute."""
    with drip(beginning) as address:
        began, before = time.monotonic(), threading.active_count()
        with pytest.raises(fetching.FetchError, match="does not answer within"):
            fetch(address, address, seconds=0.5)
        assert time.monotonic() - began < 1.5
        until = time.monotonic() + 3
        while any(thread.name == "fetch" for thread in threading.enumerate()):
            assert time.monotonic() < until, f"{threading.active_count()} threads, and {before} before"
            time.sleep(0.02)
