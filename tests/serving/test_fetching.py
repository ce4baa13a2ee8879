"""What is fetched for a client, and what never is."""

import pytest
from made_up_site import site

from pipeline.errors import UsageError
from pipeline.serving import fetching


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


def test_a_picture_is_fetched_but_no_redirect_is_followed_and_no_large_one_read():
    answers = {"/moved": (302, {"location": "/large"}, b""), "/gone": (404, {}, b""), "/large": (200, {}, b"x" * 2000)}
    with site(lambda path: answers.get(path, (200, {}, b"x" * 10))) as address:
        assert fetching.fetch(f"{address}/picture", most=1000) == b"x" * 10
        for path, why in (("moved", "answers 302"), ("gone", "answers 404"), ("large", "more than")):
            with pytest.raises(fetching.FetchError, match=why):
                fetching.fetch(f"{address}/{path}", most=1000)


def test_an_address_that_does_not_answer_says_so():
    with pytest.raises(fetching.FetchError, match="does not answer"):
        fetching.fetch("http://127.0.0.1:1/a", most=10)
