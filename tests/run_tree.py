"""The supervisor of a test, as a process of its own: ``python run_tree.py HOME``.

Imports nothing at module level, as every entry script must: spawn imports it in each child.
"""

# ruff: noqa: PLC0415 - see above

__all__ = ["main"]


def main() -> int:
    """Run the tree in HOME/tree.json; append every event to HOME/events.jsonl."""
    import sys
    from pathlib import Path

    import msgspec

    from hourbook.home import find_home
    from protocols import control, errors
    from supervisor import engine
    from supervisor.spec import TreeSpec

    home = find_home(sys.argv[1])
    spec = Path(sys.argv[1], "tree.json")

    def load() -> TreeSpec:
        return msgspec.json.decode(spec.read_bytes(), type=TreeSpec)

    with Path(sys.argv[1], "events.jsonl").open("ab", buffering=0) as log:

        def note(event: control.Event) -> None:
            log.write(msgspec.json.encode(event) + b"\n")

        try:
            return engine.run(load(), home, on_event=note, load_config=load)
        except errors.AlreadyRunning as error:
            print(error, file=sys.stderr)
            return 4


if __name__ == "__main__":
    raise SystemExit(main())
