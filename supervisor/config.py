"""From TOML to a tree that holds: the defaults, the file over them, ``--set`` over both.

Everything is checked before anything starts, and every mistake is reported at once, one a line:
``hourbook.toml: actor.journal_writer.shutdown_s: -3: must be > 0, "infinity" or "kill"``. An actor
class is never imported here, only the light module that holds its configuration struct.
"""

import difflib
import importlib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from importlib import resources
from pathlib import Path
from typing import Any, Final

import msgspec

from hourbook.home import Home
from protocols import errors, wire
from supervisor import spec
from supervisor.mistakes import Problem, find_problems, show_name, show_value, unknown_key
from supervisor.overrides import Override, apply_overrides, parse_override

__all__ = ["Loaded", "load", "load_again", "parse_spec"]

DEFAULT_TREE: Final = "default.toml"
FILE_BYTES_MAX: Final = 1 << 20
_TABLES: Final = ("supervisor", "node", "actor")
_PATH_SIZE_MAX: Final = 200
_NAME: Final = frozenset({"name"})
_PLACES: Final = ("", "class", "node", "order")
"""Keys whose mistakes the checks of the whole tree would repeat in other words."""


class Loaded(msgspec.Struct, frozen=True):
    """A configuration that holds.

    Attributes:
        tree: what to run.
        settings: of the supervisor itself.
        path: the file that was read, None where there is none.
        asked_path: the file that the command line named, None for the home's own.
        overrides: of the command line; they hold through every reload.
    """

    tree: spec.TreeSpec
    settings: spec.Settings
    path: Path | None
    asked_path: Path | None = None
    overrides: tuple[str, ...] = ()


def load(home: Home, path: Path | None = None, overrides: Sequence[str] = ()) -> Loaded:
    """Read, merge and check the configuration.

    Args:
        home: whose ``hourbook.toml`` is read unless `path` names another; it may be missing.
        path: a file that must exist.
        overrides: ``KEY=VALUE`` each.

    Raises:
        ConfigError: with every mistake, one a line.
    """
    file = path.absolute() if path is not None else home.config_file
    label = show_name(file.name)
    text = _read(file, must_exist=path is not None)
    base = _parse(_default_text(), DEFAULT_TREE)
    table = _merge(base, _parse(text or "", label))
    parsed = [parse_override(item) for item in overrides]
    wanted = [item for item in parsed if isinstance(item, Override)]
    table, misplaced = apply_overrides(table, wanted)

    problems = [item for item in parsed if isinstance(item, Problem)] + misplaced
    loose = [f"--set: {problem.path}: {problem.text}" for problem in problems]
    found = list(_check_tables(table))
    tree = _build(table, found)
    found += _check_whole(tree, found, tree.nodes.keys() - base["node"].keys())
    if found or loose:
        sources = _Sources(wanted, label if text is not None or not overrides else "--set")
        # Names come from the file too, and may hold anything, line breaks as well.
        paths = [wire.printable(problem.path, _PATH_SIZE_MAX) for problem in found]
        lines = [
            f"{sources.of(problem.path)}: {path}: {problem.text}"
            for path, problem in zip(paths, found, strict=True)
        ]
        raise errors.ConfigError("\n".join(loose + lines))
    settings = msgspec.convert(table.get("supervisor", {}), spec.Settings)
    asked = None if path is None else file  # absolute: a reload may happen in another directory
    return Loaded(tree, settings, None if text is None else file, asked, tuple(overrides))


def load_again(home: Home, loaded: Loaded) -> Loaded:
    """Read the same file with the same overrides, as a reload does.

    Raises:
        ConfigError: with every mistake, one a line.
    """
    return load(home, loaded.asked_path, loaded.overrides)


def parse_spec(table: Mapping[str, Any], where: str = "spec") -> spec.ChildSpec:
    """Build the spec of a dynamic child from plain data: an actor's table with its ``name``.

    Raises:
        ConfigError: with every mistake, one a line.
    """
    problems = list(find_problems(spec.ChildSpec, table, "actor"))
    if not problems:
        problems = list(_check_config(table, "actor"))
    if problems:
        raise errors.ConfigError("\n".join(f"{where}: {p.path}: {p.text}" for p in problems))
    return _child(str(table["name"]), {k: v for k, v in table.items() if k != "name"})


class _Sources:
    """Says where a key came from: the command line, or the file."""

    def __init__(self, overrides: Sequence[Override], label: str) -> None:
        self._keys = [override.key for override in overrides]
        self._label = label

    def of(self, path: str) -> str:
        for key in self._keys:
            if path == key or path.startswith((f"{key}.", f"{key}[")):
                return "--set"
        return self._label


# -- reading ------------------------------------------------------------------------------------


def _default_text() -> str:
    return resources.files("actors").joinpath(DEFAULT_TREE).read_text(encoding="utf-8")


def _read(path: Path, *, must_exist: bool) -> str | None:
    name = show_name(path.name)
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        if not must_exist:
            return None
        raise errors.ConfigError(
            f"{name}: expected a file, got none, at {show_name(str(path))}"
        ) from None
    except OSError as error:
        raise errors.ConfigError(
            f"{name}: expected a readable file, got: {error.strerror}, at {show_name(str(path))}"
        ) from None
    if len(data) > FILE_BYTES_MAX:
        raise errors.ConfigError(f"{name}: must be at most {FILE_BYTES_MAX} bytes")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise errors.ConfigError(
            f"{name}: line {line}: byte 0x{data[error.start]:02x}: must be UTF-8"
        ) from None


def _parse(text: str, label: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message, _, place = str(error).rpartition(" (at ")
        raise errors.ConfigError(f"{label}: {place.rstrip(')')}: {message}") from None
    except RecursionError:
        raise errors.ConfigError(f"{label}: nested too deep") from None


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Lay one table over another, key by key; lists and values replace."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(below, Mapping) and isinstance(value, Mapping)
        merged[key] = _merge(below, value) if both else value  # type: ignore[arg-type]  # narrowed by `both`
    return merged


# -- checking -----------------------------------------------------------------------------------


def _check_tables(table: Mapping[str, Any]) -> Iterator[Problem]:
    for key in table.keys() - set(_TABLES):
        yield unknown_key(key, key, _TABLES)
    yield from find_problems(spec.Settings, table.get("supervisor", {}), "supervisor")
    for kind, struct in (("node", spec.NodeSpec), ("actor", spec.ChildSpec)):
        specs = table.get(kind, {})
        if not isinstance(specs, Mapping):
            yield Problem(kind, f"{show_value(specs)}: must be a table of tables")
            continue
        for name, item in specs.items():
            path = f"{kind}.{name}"
            yield from _check_name(name, path)
            if kind == "actor" and _is_misspelt(name, item, specs):
                near = difflib.get_close_matches(name, [n for n in specs if n != name], n=1)
                yield Problem(path, f"no such actor, and no class given: did you mean {near[0]}?")
                continue
            yield from find_problems(struct, item, path, reserved=_NAME)
            if kind == "actor" and isinstance(item, Mapping):
                yield from _check_config(item, path)
                yield from _check_cpu(item, path)


def _check_whole(
    tree: spec.TreeSpec, found: Sequence[Problem], own_nodes: AbstractSet[str]
) -> list[Problem]:
    """Check what only the whole tree shows, silent on what a mistake found before explains."""
    if any(problem.path in _TABLES for problem in found):
        return []  # a table that is none leaves nothing to check
    unsure = set()
    for problem in found:
        _, name, key = [*problem.path.replace("[", ".").split("."), "", ""][:3]
        if key in _PLACES:
            unsure.add(name)
    problems = [Problem(*pair) for pair in spec.check_tree(tree)]
    if not problems and not unsure:
        problems = [Problem(*pair) for pair in spec.empty_nodes(tree, own_nodes)]
    return [p for p in problems if unsure.isdisjoint(re.findall(r"\w+", f"{p.path} {p.text}"))]


def _check_name(name: str, path: str) -> Iterator[Problem]:
    for problem in find_problems(_Named, {"name": name}, path):
        yield Problem(path, problem.text)


class _Named(msgspec.Struct):
    name: spec.Name


def _is_misspelt(name: str, item: object, specs: Mapping[str, object]) -> bool:
    others = [other for other in specs if other != name]
    has_class = isinstance(item, Mapping) and "class" in item
    return not has_class and bool(difflib.get_close_matches(name, others, n=1))


def _check_config(item: Mapping[str, Any], path: str) -> Iterator[Problem]:
    """Check an actor's own configuration against the struct that its spec names."""
    struct = _config_struct(item.get("config_type", ""))
    if isinstance(struct, str):
        yield Problem(f"{path}.config_type", struct)
    elif struct is not None:
        yield from find_problems(struct, item.get("config", {}), f"{path}.config")


def _config_struct(name: object) -> type[msgspec.Struct] | str | None:
    """Return the struct, None where any table will do, or what is wrong with its name."""
    if not isinstance(name, str) or not name:
        return None
    module_name, _, attribute = name.partition(":")
    try:
        struct = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        return f"{show_value(name)}: must be module:Struct: {error}"
    if not (isinstance(struct, type) and issubclass(struct, msgspec.Struct)):
        return f"{show_value(name)}: must name a msgspec.Struct"
    return struct


def _check_cpu(item: Mapping[str, Any], path: str) -> Iterator[Problem]:
    # A processor that is not there would only show in the child, as an EINVAL.
    cpus = item.get("cpu", ())
    if not hasattr(os, "sched_getaffinity") or not isinstance(cpus, list | tuple):
        return
    usable = sorted(os.sched_getaffinity(0))
    for index, cpu in enumerate(cpus):
        if isinstance(cpu, int) and cpu >= 0 and cpu not in usable:
            have = ", ".join(map(str, usable))
            yield Problem(f"{path}.cpu[{index}]", f"{cpu}: must be one of {have} on this machine")


# -- building -----------------------------------------------------------------------------------


def _build(table: Mapping[str, Any], problems: Sequence[Problem]) -> spec.TreeSpec:
    """Build the tree from all keys that are right, so that its own checks run beside the others."""
    wrong = {problem.path for problem in problems}
    nodes = {
        name: msgspec.convert({**item, "name": name}, spec.NodeSpec)
        for name, item in _sound_items(table, "node", wrong)
    }
    actors = {name: _child(name, item) for name, item in _sound_items(table, "actor", wrong)}
    return spec.TreeSpec(nodes, actors)


def _sound_items(
    table: Mapping[str, Any], kind: str, wrong: set[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    specs = table.get(kind, {})
    for name, item in specs.items() if isinstance(specs, Mapping) else ():
        path = f"{kind}.{name}"
        if path in wrong or f"{path}.class" in wrong:
            continue
        bad = [p.removeprefix(f"{path}.") for p in wrong if p.startswith(f"{path}.")]
        keys = {p.replace("[", ".").partition(".")[0] for p in bad}
        yield name, {key: value for key, value in item.items() if key not in keys}


def _child(name: str, item: Mapping[str, Any]) -> spec.ChildSpec:
    child = msgspec.convert({**item, "name": name}, spec.ChildSpec)
    struct = _config_struct(child.config_type)
    if struct is None or isinstance(struct, str):
        return child
    # Whole, with its defaults: what is shown is what the actor gets.
    config = msgspec.to_builtins(msgspec.convert(child.config, struct))
    return msgspec.structs.replace(child, config=config)
