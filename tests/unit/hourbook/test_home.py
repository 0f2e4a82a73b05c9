"""Where state lives: found the same way by every process, private, and refused when it is not."""

import os
from pathlib import Path

import pytest

from hourbook.home import SOCKET_PATH_BYTES_MAX, Home, find_home, prepare_home
from protocols import errors


def test_flag_beats_environment_beats_xdg(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The home is the flag, else HOURBOOK_HOME, else below XDG_DATA_HOME, else below ~."""
    monkeypatch.setenv("HOURBOOK_HOME", str(tmp_path / "named"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))

    by_flag, by_name = find_home(tmp_path / "flag"), find_home()
    monkeypatch.delenv("HOURBOOK_HOME")
    by_data = find_home()
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    by_home = find_home()

    assert [h.path.relative_to(tmp_path) for h in (by_flag, by_name, by_data, by_home)] == [
        Path("flag"), Path("named"), Path("data/hourbook"), Path(".local/share/hourbook"),
    ]  # fmt: skip


def test_run_directory_follows_from_the_real_path(tmp_path: Path) -> None:
    """A symbolic link to a home leads to the same run directory as the home itself."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")

    assert find_home(tmp_path / "link") == find_home(tmp_path / "real")
    assert find_home(tmp_path / "other").run_dir != find_home(tmp_path / "real").run_dir


def test_finding_creates_nothing(tmp_path: Path) -> None:
    """A reader that looks for a tree leaves no trace."""
    home = find_home(tmp_path / "absent")

    assert not home.path.exists()
    assert not home.run_dir.exists()


def test_prepared_directories_are_private(home: Home) -> None:
    """Home and run directory are for their owner alone."""
    assert home.path.stat().st_mode & 0o777 == 0o700
    assert home.run_dir.stat().st_mode & 0o777 == 0o700


def test_open_run_directory_is_closed_again(home: Home) -> None:
    """A run directory that somebody opened is made private before any socket is in it."""
    home.run_dir.chmod(0o777)

    prepare_home(home)

    assert home.run_dir.stat().st_mode & 0o777 == 0o700


def test_socket_paths_stay_short(tmp_path: Path) -> None:
    """However deep the home, the longest legal actor name still fits a socket address."""
    home = find_home(tmp_path / ("d" * 200) / ("e" * 200))

    assert len(os.fsencode(home.mailbox("a" * 60))) <= SOCKET_PATH_BYTES_MAX


def test_file_in_the_place_of_home_is_refused(tmp_path: Path) -> None:
    """A home that is a file is named in the error."""
    (tmp_path / "file").touch()

    with pytest.raises(errors.HomeUnusable, match="file"):
        prepare_home(find_home(tmp_path / "file"))


def test_symbolic_link_as_run_directory_is_refused(home: Home, tmp_path: Path) -> None:
    """A link in the world-writable run root could be a trap."""
    (tmp_path / "elsewhere").mkdir()
    home.run_dir.rmdir()
    home.run_dir.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(errors.HomeUnusable, match="Expected a directory"):
        prepare_home(home)

    home.run_dir.unlink()


def test_empty_flag_is_refused() -> None:
    """An unset shell variable after --home must not mean the current directory."""
    with pytest.raises(errors.HomeUnusable, match="empty name"):
        find_home("")
