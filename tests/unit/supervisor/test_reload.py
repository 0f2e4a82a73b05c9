"""A reload, from the difference to its outcome, without a process."""

from fakes.tree_world import TreeWorld, actor, spec_of

from protocols.control import Reload as Order
from supervisor.reload import ANSWER_WAIT_NS, Reload
from supervisor.spec import TreeSpec

OLD = spec_of(actor("a", config={"x": 1}), actor("b", config={"x": 1}), actor("gone"))
NEW = spec_of(actor("a", config={"x": 2}), actor("b", config={"x": 2}), actor("fresh"))


class Told:
    """Remembers what actors were told; `deaf` ones are not connected."""

    def __init__(self, *deaf: str) -> None:
        self.orders: list[tuple[str, str, dict[str, object]]] = []
        self.deaf = deaf

    def __call__(self, name: str, kind: str, order: Order) -> int:
        self.orders.append((name, kind, order.config))
        return 0 if name in self.deaf else len(self.orders)


def begin(world: TreeWorld, told: Told, new: TreeSpec = NEW) -> Reload:
    """Begin a reload in a world."""
    reload = Reload(world.tree, new, told, world.now_ns)
    world.do(reload.actions)
    return reload


def test_changed_configs_are_offered_and_the_rest_happens_at_once() -> None:
    """The outcome is there when the last actor has answered, and not before."""
    world, told = TreeWorld(OLD), Told()

    reload = begin(world, told)

    assert told.orders == [("a", "reload", {"x": 2}), ("b", "reload", {"x": 2})]
    assert set(world.states) == {"a", "b", "fresh"}
    assert reload.answered(1, is_ok=True, now_ns=world.now_ns) == []
    assert reload.outcome() is None
    assert reload.answered(2, is_ok=True, now_ns=world.now_ns) == []
    done = reload.outcome()
    assert done is not None
    assert (done.reloaded, done.restarted) == (["a", "b"], [])
    assert (done.added, done.removed) == (["fresh"], ["gone"])
    assert done.message == "2 reloaded, 1 added, 1 removed"


def test_who_refuses_is_restarted() -> None:
    """An actor that cannot take a change in place gets a new process; strangers count nothing."""
    world = TreeWorld(OLD)
    reload = begin(world, Told())

    world.do(reload.answered(1, is_ok=False, now_ns=world.now_ns))
    world.do(reload.answered(99, is_ok=False, now_ns=world.now_ns))
    world.do(reload.answered(None, is_ok=False, now_ns=world.now_ns))
    world.do(reload.answered(2, is_ok=True, now_ns=world.now_ns))

    done = reload.outcome()
    assert done is not None
    assert (done.reloaded, done.restarted) == (["b"], ["a"])
    assert world.tree.actors["a"].incarnation == 2


def test_who_cannot_be_asked_or_is_silent_is_restarted() -> None:
    """The unreachable at once, the silent after their time."""
    world = TreeWorld(OLD)
    reload = begin(world, Told("a"))

    world.do(reload.expire(world.now_ns))
    assert world.tree.actors["a"].incarnation == 2
    assert world.tree.actors["b"].incarnation == 1
    world.do(reload.expire(world.now_ns + ANSWER_WAIT_NS))

    done = reload.outcome()
    assert done is not None
    assert done.restarted == ["a", "b"]


def test_who_is_down_or_between_two_incarnations_reads_it_at_its_next_birth() -> None:
    """Nobody is restarted twice, and nobody waited for who cannot answer."""
    world = TreeWorld(OLD)
    world.do(world.tree.stop("a", world.now_ns))
    reload = begin(world, Told())
    world.answers["b"] = ""
    world.end("b")

    world.do(reload.answered(1, is_ok=False, now_ns=world.now_ns))

    done = reload.outcome()
    assert done is not None
    assert (done.reloaded, done.restarted) == ([], [])
    assert world.tree.actors["a"].spec.config == {"x": 2}


def test_nothing_changed_says_so() -> None:
    """A reload of the same file is no event for anybody."""
    world = TreeWorld(OLD)

    reload = begin(world, Told(), OLD)

    done = reload.outcome()
    assert done is not None
    assert done.message == "nothing has changed"
    assert {actor.incarnation for actor in world.tree.actors.values()} == {1}


def test_a_new_process_is_for_what_only_a_birth_takes_in() -> None:
    """An environment, for one."""
    world = TreeWorld(OLD)
    new = spec_of(
        actor("a", config={"x": 1}, env={"K": "v"}), actor("b", config={"x": 1}), actor("gone")
    )

    reload = begin(world, Told(), new)

    done = reload.outcome()
    assert done is not None
    assert done.restarted == ["a"]


def test_changed_rules_are_in_force_at_once_and_named() -> None:
    """A watchdog, say, needs neither a word with the actor nor a restart."""
    world = TreeWorld(OLD)
    new = spec_of(
        actor("a", config={"x": 1}, watchdog_s=30.0), actor("b", config={"x": 1}), actor("gone"),
        intensity=7,
    )  # fmt: skip

    reload = begin(world, Told(), new)

    done = reload.outcome()
    assert done is not None
    assert done.message == "applied to a, node root"
    assert world.tree.actors["a"].incarnation == 1
    assert world.tree.actors["a"].spec.watchdog_s == 30.0


def test_what_a_command_removed_is_brought_back_and_named() -> None:
    """The configuration has it still: it starts again, and the outcome does not keep that back."""
    world = TreeWorld(OLD)
    world.do(world.tree.remove("b", world.now_ns))

    done = begin(world, Told(), OLD).outcome()

    assert done is not None
    assert (done.message, done.added) == ("1 added", ["b"])
    assert set(world.states) == {"a", "b", "gone"}
