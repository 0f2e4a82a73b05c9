"""The whole tree without a process: orders of events, and the actions that follow."""

import pytest
from fakes.tree_world import TreeWorld, actor, node, spec_of

from protocols import errors
from protocols.control import InitResult
from supervisor.spec import Backoff

OFF = Backoff(base_s=0)


def abc(**root: object) -> TreeWorld:
    """Return a running tree of a, b and c."""
    return TreeWorld(spec_of(*(actor(n, backoff=OFF) for n in "abc"), **root))


def test_start_is_in_order_and_waits_for_each_answer() -> None:
    """B is born when a has answered, and not before."""
    world = TreeWorld(spec_of(actor("a"), actor("b"), order=("b", "a")))
    assert world.log == ["b starting", "b ready", "a starting", "a ready", "root ready"]

    slow = TreeWorld(spec_of(actor("a"), actor("b")), answers={"a": ""})
    assert slow.states == {"a": "STARTING", "b": "PENDING"}
    assert slow.tree.state == "STARTING"


def test_states_of_the_whole_tree() -> None:
    """One word for the tree, from its first start to its end."""
    world = TreeWorld(spec_of(actor("a"), actor("b")))
    assert world.tree.state == "READY"

    world.do(world.tree.beat("a", "no disk", world.now_ns))
    assert world.tree.state == "DEGRADED"
    assert world.tree.actors["a"].reason == "no disk"
    world.do(world.tree.beat("a", "", world.now_ns))
    assert world.tree.state == "READY"

    world.deaf.add("b")
    world.do(world.tree.stop_all(world.now_ns))
    assert world.tree.state == "STOPPING"
    assert world.tree.waiting_for() == ["a", "b"]
    world.advance(5)
    assert (world.tree.state, world.exit_code) == ("EXITED", 0)


def test_a_restart_is_not_a_first_start() -> None:
    """Once the tree was up, one actor that starts again does not make it STARTING."""
    world = TreeWorld(spec_of(actor("a"), actor("b")))
    world.answers["a"] = ""

    world.end("a")

    assert world.states == {"a": "STARTING", "b": "READY"}
    assert world.tree.state == "READY"


def test_stop_is_in_reverse_and_one_at_a_time() -> None:
    """The next is asked when the one before is gone."""
    world = abc()
    world.deaf.add("b")
    world.do(world.tree.stop_all(world.now_ns))
    assert world.pushes == [("c", "ask"), ("b", "ask")]

    world.advance(5)

    assert world.pushes[2:] == [("b", "terminate"), ("b", "kill"), ("a", "ask")]
    assert world.exit_code == 0


def test_kill_is_repeated_until_the_group_is_empty() -> None:
    """A SIGKILL that left something behind is sent again."""
    world = abc()
    world.deaf.update("abc")
    world.is_immortal = True
    world.do(world.tree.kill_all(world.now_ns))

    world.advance(0.35)

    assert world.pushes.count(("a", "kill")) == 4
    assert world.tree.actors["a"].is_killed


def test_second_stop_kills_what_the_first_only_asked() -> None:
    """kill_all after stop_all ends everything at once."""
    world = abc()
    world.deaf.update("abc")
    world.do(world.tree.stop_all(world.now_ns))

    world.do(world.tree.kill_all(world.now_ns))

    assert world.exit_code == 0
    assert {a.cause for a in world.tree.actors.values()} == {"killed"}


def test_stop_of_one_with_now_kills_it() -> None:
    """`stop NAME --now` does not ask."""
    world = TreeWorld(spec_of(node("n"), actor("a", node="n"), actor("b")))
    world.deaf.add("a")

    world.do(world.tree.stop("n", world.now_ns, is_now=True))

    assert world.states == {"a": "EXITED", "b": "READY"}
    assert world.tree.actors["a"].cause == "killed"


def test_stop_of_the_root_is_a_stop_of_all() -> None:
    """Both ways, asked and killed."""
    for is_now in (False, True):
        world = abc()
        world.do(world.tree.stop("root", world.now_ns, is_now=is_now))
        assert world.exit_code == 0


def test_watchdog_aborts_then_kills_and_restarts() -> None:
    """Without a beat: SIGABRT, two seconds, SIGKILL; the cause is the watchdog."""
    world = abc()
    world.deaf.add("a")

    for _ in range(3):
        world.advance(4, beating=False)
        for name in "bc":
            world.do(world.tree.beat(name, "", world.now_ns))

    assert world.pushes == [("a", "abort"), ("a", "kill")]
    assert world.tree.actors["a"].cause == "watchdog"
    assert world.states["a"] == "READY"
    assert world.tree.actors["a"].incarnation == 2


def test_start_timeout_is_a_failed_start() -> None:
    """An init that never answers rolls the first start back."""
    world = TreeWorld(spec_of(actor("a", start_timeout_s=2)), answers={"a": ""})

    world.advance(5)

    assert world.exit_code == 3
    assert world.tree.actors["a"].cause == "start_timeout"


def test_late_and_foreign_messages_change_nothing() -> None:
    """An answer of an unknown actor, or after the fact, is no event."""
    world = abc()

    assert world.tree.answered(InitResult("ghost", 1, "ready"), world.now_ns) == []
    assert world.tree.answered(InitResult("a", 1, "error"), world.now_ns) == []
    assert not world.tree.is_current("ghost", 1)
    assert not world.tree.is_current("a", 2)
    assert world.tree.is_current("a", 1)
    world.end("a")
    assert not world.tree.is_current("a", 1)
    world.do(world.tree.stop("a", world.now_ns))
    world.do(world.tree.beat("a", "ghost", world.now_ns))
    world.do(world.tree.timer("a", world.now_ns))
    assert world.states["a"] == "EXITED"
    assert world.tree.actors["a"].reason == ""


def test_backoff_in_one_for_all_holds_the_whole_group() -> None:
    """Nobody starts beside a delayed sibling."""
    world = TreeWorld(spec_of(actor("a"), actor("b"), strategy="one_for_all", intensity=9))
    world.end("b")
    world.end("b")

    assert world.states == {"a": "PENDING", "b": "BACKOFF"}
    world.advance(1)
    assert world.states == {"a": "READY", "b": "READY"}


def test_backoff_in_rest_for_one_holds_the_later_ones() -> None:
    """Earlier siblings run on."""
    world = TreeWorld(spec_of(*map(actor, "abc"), strategy="rest_for_one", intensity=9))
    world.end("b")
    world.end("b")

    assert world.states == {"a": "READY", "b": "BACKOFF", "c": "PENDING"}
    world.advance(1)
    assert set(world.states.values()) == {"READY"}


def test_a_stopped_actor_stays_stopped_when_its_group_restarts() -> None:
    """The desired state outlives the restarts of others; here we differ from OTP."""
    world = abc(strategy="one_for_all")
    world.do(world.tree.stop("b", world.now_ns))

    world.end("a")

    assert world.states == {"a": "READY", "b": "EXITED", "c": "READY"}


def test_a_disabled_spec_is_kept_and_never_started() -> None:
    """With `enabled = false` it shows as DISABLED, also after its group restarted."""
    world = TreeWorld(
        spec_of(actor("a", enabled=False), actor("b", backoff=OFF), strategy="one_for_all")
    )

    world.end("b")

    assert world.states == {"a": "DISABLED", "b": "READY"}


def test_ignored_while_being_stopped_rests() -> None:
    """An init that answers ignore while it is asked to stop is down like any other."""
    world = TreeWorld(spec_of(actor("a"), actor("b")))
    world.answers["a"] = ""
    world.end("a")
    world.deaf.add("a")
    world.do(world.tree.answered(InitResult("a", 2, "ignore"), world.now_ns))
    world.do(world.tree.stop("a", world.now_ns))

    world.end("a", 0)

    assert world.states["a"] == "EXITED"


def test_last_words_explain_a_death_before_the_answer() -> None:
    """What it printed is the detail of a failed first start."""
    world = TreeWorld(spec_of(actor("a")), answers={"a": ""})

    world.end("a", 1, "ImportError: no such thing")

    failed = next(note for note in world.notes if note.event == "start_failed")
    assert (failed.cause, failed.detail) == ("exit 1", "ImportError: no such thing")
    assert world.exit_code == 3


def test_a_spawn_that_fails_is_a_failed_start() -> None:
    """It counts as an attempt, and says what the kernel said."""
    world = abc(intensity=1)
    world.answers["a"] = ""
    world.end("a")
    del world.living["a"]

    world.do(world.tree.not_born("a", "Too many open files", world.now_ns))

    assert world.tree.actors["a"].cause == "spawn"
    assert world.tree.actors["a"].reason == "Too many open files"
    assert world.exit_code == 5


def test_overweight_is_graceful_limited_and_only_for_the_running() -> None:
    """Once a minute at most; not while it is going down anyway."""
    world = abc()
    world.do(world.tree.overweight("a", world.now_ns))
    assert world.tree.actors["a"].cause == "rss"
    assert world.tree.actors["a"].incarnation == 2

    world.advance(59)
    assert world.tree.overweight("a", world.now_ns) == []
    world.advance(2)
    world.do(world.tree.overweight("a", world.now_ns))
    assert world.tree.actors["a"].incarnation == 3
    world.do(world.tree.stop("b", world.now_ns))
    assert world.tree.overweight("b", world.now_ns) == []
    assert world.tree.actors["a"].restarts == 0, "no crash, no attempt"


def test_requests_for_unknown_names_are_refused() -> None:
    """Each names what it did not find."""
    world = abc()

    for request in (world.tree.start, world.tree.stop, world.tree.restart, world.tree.remove):
        with pytest.raises(errors.UnknownName, match="ghost"):
            request("ghost", world.now_ns)
    with pytest.raises(errors.UnknownName, match="nowhere"):
        world.tree.add(actor("d", node="nowhere"), world.now_ns)
    with pytest.raises(errors.AlreadyPresent):
        world.tree.add(actor("a"), world.now_ns)
    with pytest.raises(errors.AlreadyPresent):
        world.tree.start("root", world.now_ns)
    with pytest.raises(errors.UnknownName):
        list(world.tree.actors_below("ghost"))


def test_what_is_between_two_incarnations_is_not_restarted_twice() -> None:
    """Start, restart and remove are refused while it waits; stop is not."""
    world = TreeWorld(spec_of(actor("a"), intensity=9))
    world.end("a")
    world.end("a")
    assert world.states["a"] == "BACKOFF"

    with pytest.raises(errors.AlreadyPresent):
        world.tree.start("a", world.now_ns)
    for request in (world.tree.restart, world.tree.remove):
        with pytest.raises(errors.Restarting, match="supervisor stop a"):
            request("a", world.now_ns)
    world.do(world.tree.stop("a", world.now_ns))
    assert world.states["a"] == "EXITED"
    assert world.timers == {}


def test_nothing_is_started_in_a_tree_that_stops() -> None:
    """Start, restart and add are refused; the stop goes on."""
    world = abc()
    world.deaf.add("c")
    world.do(world.tree.stop("a", world.now_ns))
    world.do(world.tree.stop_all(world.now_ns))

    for request in (world.tree.start, world.tree.restart):
        with pytest.raises(errors.Restarting):
            request("a", world.now_ns)
    with pytest.raises(errors.Restarting):
        world.tree.add(actor("d"), world.now_ns)
    world.advance(5)
    assert world.exit_code == 0
    with pytest.raises(errors.Restarting):
        world.tree.start("root", world.now_ns)


def test_start_of_an_actor_revives_the_nodes_above_it() -> None:
    """What a person asks for runs, whatever stood in its way."""
    world = TreeWorld(
        spec_of(node("outer"), node("inner", node="outer"), actor("a", node="inner"), actor("b"))
    )
    world.do(world.tree.stop("outer", world.now_ns))
    world.do(world.tree.stop("a", world.now_ns))
    assert world.states == {"a": "EXITED", "b": "READY"}

    world.do(world.tree.start("a", world.now_ns))

    assert world.states == {"a": "READY", "b": "READY"}


def test_restart_of_a_node_restarts_its_children_in_order() -> None:
    """Down in reverse, up forward, and nobody else."""
    world = TreeWorld(spec_of(node("n"), actor("a", node="n"), actor("b", node="n"), actor("c")))
    del world.log[:]

    world.do(world.tree.restart("n", world.now_ns))

    moved = [line for line in world.log if line.split()[1] in ("exited", "starting")]
    assert moved == ["b exited", "a exited", "a starting", "b starting"]


def test_pending_node_starts_in_its_turn_and_can_be_asked_for() -> None:
    """A start of an actor whose node waits for its turn is granted by that turn."""
    spec = spec_of(actor("a"), node("n"), actor("b", node="n"), order=("a", "n"))
    world = TreeWorld(spec, answers={"a": ""})
    assert world.states["b"] == "EXITED"

    world.do(world.tree.start("b", world.now_ns))
    world.answer("a")

    assert world.states == {"a": "READY", "b": "READY"}


def test_removed_while_down_is_forgotten_at_once() -> None:
    """An EXITED actor needs no stop."""
    world = abc()
    world.do(world.tree.stop("b", world.now_ns))

    world.do(world.tree.remove("b", world.now_ns))

    assert set(world.states) == {"a", "c"}


def test_dynamic_children_may_be_disabled_and_end_together() -> None:
    """Added without being started; asked to stop all at once."""
    world = abc()
    world.do(world.tree.add(actor("d", enabled=False), world.now_ns))
    assert world.states["d"] == "DISABLED"
    for name in "ef":
        world.do(world.tree.add(actor(name), world.now_ns))
    world.deaf.update("ef")

    world.do(world.tree.stop_all(world.now_ns))

    assert world.pushes == [("f", "ask"), ("e", "ask")]
    world.advance(5)
    assert world.exit_code == 0


def test_failing_dynamic_child_is_discarded() -> None:
    """Its error is in the log, its spec is gone."""
    world = abc()
    world.answers["d"] = "error"

    world.do(world.tree.add(actor("d"), world.now_ns))

    assert "d" not in world.states
    assert "d start_failed" in world.log


def test_temporary_node_is_gone_with_its_children() -> None:
    """A temporary node that ends by itself is not restarted and not shown."""
    world = TreeWorld(
        spec_of(node("n", restart="temporary", intensity=0), actor("a", node="n"), actor("b"))
    )

    world.end("a")

    assert set(world.states) == {"b"}
    assert "n" not in world.tree.nodes


def test_temporary_node_is_rebuilt_when_its_parent_restarts() -> None:
    """Static children come back with their node, temporary ones too."""
    world = TreeWorld(
        spec_of(
            node("p", intensity=0),
            node("n", node="p", restart="temporary", intensity=0),
            actor("a", node="n"),
            actor("b", node="p"),
        )
    )
    world.end("a")
    assert set(world.states) == {"b"}

    world.end("b")

    assert world.states == {"a": "READY", "b": "READY"}


def test_node_that_gives_up_marks_the_wanted_and_waits_for_a_person() -> None:
    """What a person had stopped stays EXITED; `restart` of the node brings the others back."""
    world = TreeWorld(
        spec_of(
            node("n", intensity=0, on_escalation="give_up"),
            *(actor(name, node="n", backoff=OFF) for name in "abc"),
        )
    )
    world.do(world.tree.stop("b", world.now_ns))
    world.end("a")
    assert world.states == {"a": "GAVE_UP", "b": "EXITED", "c": "GAVE_UP"}
    assert world.tree.state == "DEGRADED"

    world.do(world.tree.restart("n", world.now_ns))

    assert world.states == {"a": "READY", "b": "EXITED", "c": "READY"}


def test_root_that_gives_up_by_itself_exits_5_and_the_first_reason_counts() -> None:
    """A stop that comes after the escalation does not make it a success."""
    world = abc(intensity=0)
    world.deaf.update("bc")
    world.end("a")

    world.do(world.tree.stop_all(world.now_ns))
    world.advance(10)

    assert world.exit_code == 5


def test_all_significant_counts_only_those_that_may_still_end() -> None:
    """A significant child that was stopped by a person does not keep the node."""
    kind = {"restart": "transient", "significant": True}
    world = TreeWorld(spec_of(*(actor(n, **kind) for n in "abc"), auto_shutdown="all_significant"))
    world.do(world.tree.stop("c", world.now_ns))

    world.end("a", 0)
    assert world.exit_code is None
    world.end("b", 0)

    assert world.exit_code == 0


def test_a_node_may_end_by_its_significant_child() -> None:
    """It counts as a normal end: a permanent node is restarted, whole."""
    world = TreeWorld(
        spec_of(
            node("n", auto_shutdown="any_significant"),
            actor("a", node="n", restart="transient", significant=True),
            actor("b", node="n"),
        )
    )

    world.end("a", 0)

    assert world.states == {"a": "READY", "b": "READY"}
    assert "n auto_shutdown" in world.log


def test_a_start_that_fails_after_the_first_one_is_a_restart_like_any_other() -> None:
    """An actor whose init never worked is retried, once the tree as a whole was up."""
    world = TreeWorld(spec_of(actor("a"), actor("b", enabled=False), intensity=1))
    world.answers["b"] = "error"

    world.do(world.tree.start("b", world.now_ns))
    world.advance(60)

    assert world.exit_code == 5
    assert world.log.count("b exited") == 2


def test_ignored_is_disabled_and_no_restart() -> None:
    """An init that has nothing to do ends well."""
    world = TreeWorld(spec_of(actor("a"), actor("b")), answers={"a": "ignore"})

    assert world.states == {"a": "DISABLED", "b": "READY"}
    assert world.tree.actors["a"].restarts == 0
    assert [a.name for a in world.tree.actors_below()] == ["a", "b"]


def test_infinite_patience_sets_no_timer() -> None:
    """A stop that may take for ever is waited for."""
    world = TreeWorld(spec_of(actor("a", shutdown_s="infinity")))
    world.deaf.add("a")

    world.do(world.tree.stop("a", world.now_ns))
    world.advance(10_000)

    assert world.pushes == [("a", "ask")]
    assert world.timers == {}
    world.end("a", 0)
    assert world.tree.actors["a"].cause == "requested"


def test_kill_all_leaves_the_dead_alone() -> None:
    """Only what lives is killed."""
    world = abc()
    world.do(world.tree.stop("b", world.now_ns))

    world.do(world.tree.kill_all(world.now_ns))

    assert [name for name, deed in world.pushes if deed == "kill"] == ["a", "c"]


def test_reshape_adds_removes_and_restarts() -> None:
    """Only what differs moves; added children start, removed ones are stopped first."""
    old = spec_of(actor("a"), actor("b"), actor("c", enabled=False), node("gone"), node("kept"))
    new = spec_of(
        actor("a"),
        actor("b", cpu=(0,)),
        actor("c"),
        actor("d", node="fresh"),
        node("fresh"),
        node("kept", intensity=9, strategy="one_for_all"),
    )
    world = TreeWorld(old)
    incarnation = world.tree.actors["a"].incarnation

    world.do(world.tree.reshape(new, ["b"], world.now_ns))

    assert set(world.states.values()) == {"READY"}
    assert set(world.states) == {"a", "b", "c", "d"}
    assert world.tree.actors["a"].incarnation == incarnation
    assert world.tree.actors["b"].incarnation == 2
    assert world.tree.nodes["kept"].window.intensity == 9
    assert "gone" not in world.tree.nodes


def test_reshape_disables_and_changes_rules_in_place() -> None:
    """A disabled actor is stopped and shown as such; a new back-off needs no restart."""
    world = TreeWorld(spec_of(actor("a"), actor("b"), actor("c")))
    new = spec_of(actor("a", enabled=False), actor("b", backoff=OFF), actor("c", watchdog_s=3))

    world.do(world.tree.reshape(new, [], world.now_ns))

    assert world.states == {"a": "DISABLED", "b": "READY", "c": "READY"}
    assert world.tree.actors["b"].incarnation == 1
    assert world.tree.actors["c"].spec.watchdog_s == 3


def test_reshape_keeps_dynamic_children_and_those_on_their_way_out() -> None:
    """A removed actor that is deaf keeps its place until it is gone."""
    world = TreeWorld(spec_of(actor("a"), actor("b")))
    world.do(world.tree.add(actor("d"), world.now_ns))
    world.deaf.add("a")

    world.do(world.tree.reshape(spec_of(actor("b"), actor("e")), [], world.now_ns))
    assert world.states == {"a": "STOPPING", "b": "READY", "d": "READY", "e": "PENDING"}

    world.advance(6)
    assert world.states == {"b": "READY", "d": "READY", "e": "READY"}


def test_reshape_refuses_to_move_a_node() -> None:
    """Nothing changes, and the message says how to do it."""
    world = TreeWorld(spec_of(node("n"), actor("a")))

    with pytest.raises(errors.ConfigError, match=r"node\.n\.node"):
        world.tree.reshape(spec_of(node("n", node="m"), node("m"), actor("a")), [], world.now_ns)


def test_reshape_moves_an_actor_when_it_is_down() -> None:
    """It ends in its old node, keeps its count of incarnations, and starts in the new one."""
    world = TreeWorld(spec_of(node("n"), actor("a"), actor("b")))
    world.deaf.add("a")

    world.do(world.tree.reshape(spec_of(node("n"), actor("a", node="n"), actor("b")), [], 1))
    assert world.states == {"a": "STOPPING", "b": "READY"}
    world.advance(5)

    assert world.states == {"a": "READY", "b": "READY"}
    assert world.tree.actors["a"].parent == "n"
    assert world.tree.actors["a"].incarnation == 2
    disabled = spec_of(node("n"), actor("a", enabled=False), actor("b"))
    world.do(world.tree.reshape(disabled, [], world.now_ns))
    world.advance(5)
    assert world.states == {"a": "DISABLED", "b": "READY"}


def test_restart_while_starting_of_a_changed_spec() -> None:
    """A reload restarts also what is still in its init."""
    world = TreeWorld(spec_of(actor("a")))
    world.answers["a"] = ""
    world.end("a")
    world.answers["a"] = "ready"

    world.do(world.tree.reshape(spec_of(actor("a", cpu=(0,))), ["a"], world.now_ns))

    assert world.states["a"] == "READY"
    assert world.tree.actors["a"].incarnation == 3
