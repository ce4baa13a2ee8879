"""Whether a page of another site makes a browser send a request."""

from pipeline.web.bodies import Message

OWN = ("same-origin", "none")  # none: the person typed the address, or opened a bookmark


def is_cross_site(scope: Message) -> bool:
    """Judges a request by what a browser says of it, in `Origin` and `Sec-Fetch-Site`; other clients say nothing.

    A link from another site may be followed: what it shows, that site cannot read.
    """
    headers = {name: value.decode("latin-1").lower() for name, value in scope["headers"]}
    origin = headers.get(b"origin")
    if origin is not None and origin.partition("://")[2] != headers.get(b"host", ""):
        return True
    follows_a_link = scope["method"] == "GET" and headers.get(b"sec-fetch-mode") == "navigate"
    return headers.get(b"sec-fetch-site", OWN[0]) not in OWN and not follows_a_link
