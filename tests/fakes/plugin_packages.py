"""Packages with entry points, installed where only a test looks."""

from collections.abc import Mapping
from pathlib import Path

__all__ = ["TROUBLED", "install", "install_troubled"]

_NAMES = "oracle swinging hanging slow crashing dying stillborn wrong loud nosy"
TROUBLED = {name: f"troubled_forecasters:{name.capitalize()}" for name in _NAMES.split()}


def install(
    site: Path, name: str, modules: Mapping[str, str], forecasters: Mapping[str, str]
) -> None:
    """Lay a distribution out in a folder, as an installer would.

    Args:
        site: the folder; it has to be on the path of whoever is to find it.
        name: of the distribution.
        modules: file name (with folders) -> source.
        forecasters: entry points, ``name -> module:attribute``.
    """
    for path, source in modules.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(source)
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = [f"{one} = {target}" for one, target in forecasters.items()]
    (info / "entry_points.txt").write_text("\n".join(["[hourbook.forecasters]", *lines, ""]))


def install_troubled(site: Path) -> None:
    """Install every forecaster that makes trouble."""
    source = Path(__file__).with_name("troubled_forecasters.py").read_text()
    install(site, "troubled-forecasters", {"troubled_forecasters.py": source}, TROUBLED)
