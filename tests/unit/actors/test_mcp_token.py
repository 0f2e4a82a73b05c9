"""The bearer token of the MCP endpoint: where it may come from, and what keeps the door shut."""

from pathlib import Path

import pytest

from actors.config import McpServerConfig
from actors.mcp_server import read_token
from protocols import errors

SECRET = "sixteen-bytes-or-more"  # noqa: S105 - of these tests alone
VARIABLE = "HOURBOOK_TEST_TOKEN"
ABSENT = "HOURBOOK_NO_SUCH_VARIABLE"


def secret_file(path: Path, text: str = SECRET + "\n", mode: int = 0o600) -> str:
    """Write a token file and return its path."""
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def test_no_token_is_asked_for_by_default() -> None:
    """The loopback and its Host check are the default protection."""
    assert read_token(McpServerConfig()) is None


def test_token_comes_from_a_private_file_or_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """White space around it is no part of it."""
    monkeypatch.setenv(VARIABLE, f" {SECRET} ")

    from_file = read_token(McpServerConfig(token_file=secret_file(tmp_path / "token")))
    from_environment = read_token(McpServerConfig(token_env=VARIABLE))

    assert from_file == from_environment == SECRET.encode()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_token_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The error says which mode is wanted, and the command for it."""
    config = McpServerConfig(token_file=secret_file(tmp_path / "token", mode=mode))

    with pytest.raises(errors.ConfigError, match=r"mode 0600, got 06.*chmod 600"):
        read_token(config)


def test_token_that_is_missing_or_short_or_twofold_is_refused(tmp_path: Path) -> None:
    """Who asked for a token never gets an open door instead."""
    short = secret_file(tmp_path / "short", "abc")
    refused = {
        "No such file": McpServerConfig(token_file=str(tmp_path / "none")),
        "at least 16 bytes, got 3": McpServerConfig(token_file=short),
        "at least 16 bytes, got 0": McpServerConfig(token_env=ABSENT),
        "got both": McpServerConfig(token_file=short, token_env=ABSENT),
    }

    for words, config in refused.items():
        with pytest.raises(errors.ConfigError, match=words):
            read_token(config)
