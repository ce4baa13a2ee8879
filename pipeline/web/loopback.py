"""The addresses by which a server can be asked: by this machine alone, or by others."""

import socket

EVERYWHERE = ("0.0.0.0", "::", "")  # a server bound there is asked by any address of this machine
ELSEWHERE = {socket.AF_INET: "192.0.2.1", socket.AF_INET6: "2001:db8::1"}  # in examples alone: nothing is sent there
NAMES = ("localhost", "127.0.0.1", "::1")


def in_url(host: str) -> str:
    """A host as it stands in an address and in the header `Host`: of IPv6, in brackets."""
    return f"[{host}]" if ":" in host else host


def url(host: str, port: int) -> str:
    """The address of a server's first page."""
    return f"http://{in_url(host)}:{port}/"


def reachable(host: str) -> str:
    """The name under which others reach a server that is bound to `host`: of all addresses, that of the way out."""
    if host not in EVERYWHERE:
        return host
    family = socket.AF_INET6 if host == "::" else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as way_out:
            way_out.connect((ELSEWHERE[family], 9))
            return str(way_out.getsockname()[0])
    except OSError:  # no network: its name may still be known in the house
        return socket.gethostname()
