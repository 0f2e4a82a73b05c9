"""Addresses to listen at: what is understood, and what is said when one cannot be bound."""

import pytest

from actors.listen import bind_listener, endpoint_url, split_listen
from protocols import errors


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:9464", ("127.0.0.1", 9464)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:80", ("::1", 80)),
    ],
)
def test_split_listen_understands_names_and_both_families(
    listen: str, expected: tuple[str, int]
) -> None:
    """Brackets belong to the text of an IPv6 address, not to the address."""
    assert split_listen(listen) == expected


@pytest.mark.parametrize("listen", ["", "9464", ":9464", "host:", "host:x", "host:65536", "h:-1"])
def test_split_listen_refuses_what_has_no_port(listen: str) -> None:
    """The error shows the form and the range."""
    with pytest.raises(errors.ConfigError, match=r"host:port with a port in 0\.\.65535"):
        split_listen(listen)


def test_bind_listener_reports_the_real_port_of_port_zero() -> None:
    """Port 0 is replaced by what the kernel chose."""
    with bind_listener("127.0.0.1:0") as listener:
        port = listener.getsockname()[1]

        assert port > 0
        assert endpoint_url(listener, "/mcp") == f"http://127.0.0.1:{port}/mcp"


def test_bind_listener_names_the_address_that_is_in_use() -> None:
    """Whoever reads the status learns which port to free."""
    with bind_listener("127.0.0.1:0") as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(errors.AddressUnusable, match=f"{address}, got: Address already in use"):
            bind_listener(address)


def test_bind_listener_says_that_a_name_does_not_resolve() -> None:
    """A typo in a host name is named, not raised as a traceback."""
    with pytest.raises(errors.AddressUnusable, match=r"no\.such\.host\.invalid:1"):
        bind_listener("no.such.host.invalid:1")
