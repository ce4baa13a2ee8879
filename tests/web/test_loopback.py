"""The address that a server says, so that others can open it."""

import ipaddress
import socket

import pytest

from pipeline.web import loopback


@pytest.mark.parametrize("host", ["0.0.0.0", ""])
def test_a_server_that_listens_everywhere_says_an_address_that_colleagues_can_open(host):
    said = loopback.reachable(host)
    if said != socket.gethostname():  # of a machine without a network
        assert not ipaddress.ip_address(said).is_unspecified
    assert "//0.0.0.0" not in loopback.url(said, 8700)


def test_without_a_network_the_name_of_the_machine_is_said(monkeypatch):
    def unreachable(*_: object) -> None:
        raise OSError("network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", unreachable)
    assert loopback.reachable("0.0.0.0") == socket.gethostname()


@pytest.mark.parametrize("host", ["127.0.0.1", "192.168.1.7", "::1", "wallaby.example"])
def test_a_host_that_was_named_is_said_as_it_was(host):
    assert loopback.reachable(host) == host
