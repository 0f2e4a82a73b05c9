"""The MCP endpoint over HTTP, spoken to by the mcp package's own client and by strangers."""

import asyncio
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from supervised import Supervised, actor, tree
from waiting import wait_until

pytestmark = pytest.mark.live

TOKEN = "a-token-of-some-length"  # noqa: S105 - of this test alone
HEADERS = {
    "Content-Type": "application/json",
    "Accept": "application/json, text/event-stream",
}
PING = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}


def mcp_actor(**config: Any) -> Any:
    """Return the spec of a real mcp_server."""
    return actor(
        "mcp_server",
        {"listen": "127.0.0.1:0", **config},
        class_path="actors.mcp_server:McpServer",
        config_type="actors.config:McpServerConfig",
    )


def post(url: str, **headers: str) -> int:
    """Post one request; return the HTTP status."""
    request = urllib.request.Request(  # noqa: S310 - a loopback URL
        url, json.dumps(PING).encode(), {**HEADERS, **headers}, method="POST"
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


async def list_tools(url: str) -> list[Any]:
    """Return the tools that a real client sees."""
    from mcp import Client  # noqa: PLC0415 - 0.6 s

    async with Client(url) as client:
        return list((await client.list_tools()).tools)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """Run an mcp_server without anything else: no clock, no book."""
    with Supervised(tmp_path_factory.mktemp("mcp"), tree(mcp_actor())) as supervised:
        yield supervised.wait_ready()


@pytest.fixture
def url(served: Supervised) -> str:
    """Return the endpoint that the status shows."""
    return wait_until(
        lambda: served.rows()["mcp_server"].endpoints.get("mcp", ""), 10, "an endpoint"
    )


def test_http_client_sees_the_tools_with_schemas_and_hints(url: str) -> None:
    """Names, titles, output schemas and annotations are there for a model to choose by."""
    tools = {tool.name: tool for tool in asyncio.run(list_tools(url))}

    assert set(tools) == {
        "get_time",
        "get_time_with_future_uncertainty",
        "get_daemon_status",
        "journal_log",
        "journal_tail",
        "journal_at",
        "journal_query",
        "kv_get",
        "kv_keys",
        "kv_set",
        "kv_delete",
        "kv_increment",
    }
    for tool in tools.values():
        assert tool.title
        assert tool.description
        assert tool.output_schema
        assert tool.annotations.open_world_hint is False
    assert tools["get_time"].annotations.read_only_hint is True
    assert tools["get_time"].annotations.idempotent_hint is True
    assert tools["journal_log"].annotations.read_only_hint is False
    assert tools["journal_log"].annotations.destructive_hint is False


async def call(url: str, tool: str, arguments: dict[str, Any]) -> Any:
    """Return what a real client gets for one call."""
    from mcp import Client  # noqa: PLC0415 - 0.6 s

    async with Client(url) as client:
        return await client.call_tool(tool, arguments)


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("get_time", {}, "supervisor start"),
        ("get_time_with_future_uncertainty", {"future_seconds": 3601}, "`future_seconds`"),
        ("get_time_with_future_uncertainty", {"future_seconds": -1}, "`future_seconds`"),
        ("get_time_with_future_uncertainty", {"future_seconds": "soon"}, "`future_seconds`"),
        ("get_time_with_future_uncertainty", {}, "`future_seconds`"),
        ("journal_tail", {"count": 0}, "`count`"),
        ("journal_at", {"at": "yesterday"}, "Expected a book, got none yet"),
        ("journal_query", {"sql": "SELECT 1"}, "Expected a book, got none yet"),
        ("journal_query", {"sql": "SELECT 1", "limit": 0}, "`limit`"),
        ("journal_query", {"sql": "SELECT 1" + " " * 20_000}, "`sql`"),
        ("journal_query", {"sql": "SELECT '\0'", "at": "--help"}, "Expected"),
        ("journal_tail", {}, "Expected a book, got none yet"),
        ("journal_log", {"action": "x"}, "`entity`"),
        ("journal_log", {"action": "x" * 2000, "entity": "y"}, "at most 1024 bytes"),
        ("kv_get", {"namespace": "config"}, "`key`"),
        ("kv_get", {"namespace": "Con/fig", "key": "k"}, "Expected `namespace` to fit"),
        ("kv_get", {"namespace": "config", "key": "k"}, "Expected a book, got none yet"),
        ("kv_keys", {"namespace": "config", "limit": 0}, "`limit`"),
        ("kv_set", {"namespace": "config", "key": "", "value": 1}, "Expected `key`"),
        ("kv_set", {"namespace": "c", "key": "k", "value": 1, "if_version": "x"}, "`if_version`"),
        ("no_such_tool", {}, "no_such_tool"),
    ],
)
def test_http_failures_are_tool_errors_of_one_line(
    url: str, tool: str, arguments: dict[str, Any], words: str
) -> None:
    """A model reads what was expected, what was got, and what mends it."""
    result = asyncio.run(call(url, tool, arguments))

    assert result.is_error is True
    (content,) = result.content
    assert words in content.text
    assert "\n" not in content.text


def test_http_status_tool_answers_without_clock_and_book(url: str) -> None:
    """How Hourbook is, is an answer also when much is missing."""
    result = asyncio.run(call(url, "get_daemon_status", {}))

    document = result.structured_content
    assert result.is_error is not True
    assert document["running"] is True
    assert document["clock"] is None
    assert document["book"] is None
    assert [row["name"] for row in document["actors"]] == ["mcp_server"]
    assert any("got none" in problem for problem in document["problems"])


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Host": "localhost:{port}"}, 200),
        ({"Origin": "http://127.0.0.1:{port}"}, 200),
        ({"Host": "evil.example"}, 421),
        ({"Host": "evil.example:{port}"}, 421),
        ({"Host": "127.0.0.1:{port}.evil.example"}, 421),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Content-Type": "text/plain"}, 400),
    ],
)
def test_http_refuses_strangers_by_their_headers(
    url: str, headers: dict[str, str], status: int
) -> None:
    """A page that rebinds its name to 127.0.0.1 is told apart from a local client."""
    port = url.rsplit(":", 1)[1].partition("/")[0]

    assert post(url, **{k: v.format(port=port) for k, v in headers.items()}) == status


def test_http_client_does_not_notice_a_restart_between_two_calls(
    served: Supervised, url: str
) -> None:
    """Requests carry no session, and the address is bound again."""
    config = {"listen": url.removeprefix("http://").removesuffix("/mcp")}
    served.write(tree(mcp_actor(**config)))
    served.command("reload")
    served.wait_up("mcp_server", after=1)

    async def call_across_a_kill() -> list[Any]:
        from mcp import Client  # noqa: PLC0415 - 0.6 s

        async with Client(url) as client:
            first = await client.call_tool("get_daemon_status", {})
            await asyncio.to_thread(served.crash, "mcp_server")
            return [first, await client.call_tool("get_daemon_status", {})]

    results = asyncio.run(call_across_a_kill())

    assert [result.structured_content["running"] for result in results] == [True, True]


def test_http_asks_for_the_token(tmp_path: Path) -> None:
    """Without the very token nothing is served; with it, as ever."""
    secret = tmp_path / "token"
    secret.write_text(TOKEN + "\n")
    secret.chmod(0o600)
    spec = tree(mcp_actor(token_file=str(secret)))

    with Supervised(tmp_path / "home", spec) as supervised:
        supervised.wait_ready()
        url = supervised.rows()["mcp_server"].endpoints["mcp"]
        statuses = [
            post(url),
            post(url, Authorization="Bearer wrong"),
            post(url, Authorization=f"Bearer {TOKEN}x"),
            post(url, Authorization=f"Basic {TOKEN}"),
            post(url, Authorization=f"Bearer {TOKEN}"),
        ]

    assert statuses == [401, 401, 401, 401, 200]


def test_http_port_in_use_is_degraded_and_named_until_it_is_free(tmp_path: Path) -> None:
    """The status says which address is taken; once it is free, the actor recovers by itself."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        supervised = Supervised(tmp_path / "home", tree(mcp_actor(listen=address)))
        with supervised:
            supervised.wait_ready()
            row = supervised.rows()["mcp_server"]

            assert row.state == "DEGRADED"
            assert f"{address}, got: Address already in use" in row.reason

            taken.close()
            wait_until(lambda: supervised.rows()["mcp_server"].state == "READY", 10, "recovery")
            assert post(f"http://{address}/mcp") == 200


def test_http_open_token_file_keeps_the_endpoint_shut(tmp_path: Path) -> None:
    """Who asked for a token did not ask for an open door: degraded, and nothing listens."""
    secret = tmp_path / "token"
    secret.write_text(TOKEN)
    secret.chmod(0o644)

    with Supervised(tmp_path / "home", tree(mcp_actor(token_file=str(secret)))) as supervised:
        supervised.wait_ready()
        row = supervised.rows()["mcp_server"]

    assert row.state == "DEGRADED"
    assert "mode 0600, got 0644" in row.reason
    assert row.endpoints == {}
