"""The addresses by which only this machine can be asked."""

NAMES = ("localhost", "127.0.0.1", "::1")


def in_url(host: str) -> str:
    """A host as it stands in an address and in the header `Host`: of IPv6, in brackets."""
    return f"[{host}]" if ":" in host else host


def url(host: str, port: int) -> str:
    """The address of a server's first page."""
    return f"http://{in_url(host)}:{port}/"
