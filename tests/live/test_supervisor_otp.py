"""The scenarios A01-A25: what OTP's own suite asks of a supervisor, with real processes."""

import json
import os
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from shell import COMMAND
from supervised import Supervised, actor, is_alive, node, tree
from waiting import wait_until

from hourbook.home import Home
from protocols import errors
from supervisor.config import load
from supervisor.spec import Backoff

pytestmark = pytest.mark.live

MANY = {"intensity": 100}


def up_order(s: Supervised) -> list[str]:
    """Return the actors in the order in which they became ready."""
    return [e.name for e in s.events() if e.event == "ready" and e.pid]


def down_order(s: Supervised) -> list[str]:
    """Return the actors in the order in which they were gone."""
    return [e.name for e in s.events() if e.event == "exited" and e.incarnation]


def is_past(mono_ns: int) -> bool:
    """Say whether it is later than that."""
    return time.monotonic_ns() > mono_ns


def test_a01_start_normal_without_children(tmp_path: Path) -> None:
    """An empty tree becomes ready, stops with 0 at SIGTERM, and leaves no socket and no lock."""
    with Supervised(tmp_path, tree()) as s:
        s.wait_ready()
        assert s.status().supervisor.state == "READY"

        code = s.stop()

        assert code == 0
        assert list(s.home.run_dir.glob("*.sock")) == []
        assert s.home.lock_file.read_bytes() == b""


def test_a02_start_waits_for_ready(tmp_path: Path) -> None:
    """The second actor is not spawned before the first one answered."""
    with Supervised(tmp_path, tree(actor("a", {"init": ["wait"]}), actor("b"))) as s:
        gate = tmp_path / "a.go"
        wait_until(gate.exists, 15, "a inside its init")
        rows = s.rows()
        assert (rows["a"].state, rows["b"].state) == ("STARTING", "PENDING")
        assert s.status().supervisor.state == "STARTING"

        gate.write_bytes(b"go")
        s.wait_ready()

        assert up_order(s) == ["a", "b"]
        assert s.status().supervisor.state == "READY"


def test_a03_start_ignore_child_is_disabled(tmp_path: Path) -> None:
    """An actor that has nothing to do is listed without a process; the others start."""
    with Supervised(tmp_path, tree(actor("a", {"init": ["ignore"]}), actor("b"))) as s:
        s.wait_ready()

        row = s.rows()["a"]

        assert (row.state, row.pid, row.restarts) == ("DISABLED", None, 0)
        assert row.reason == "nothing to do"
        assert s.rows()["b"].state == "READY"


def test_a04_start_child_fails_rolls_back(tmp_path: Path) -> None:
    """A failed first start stops what runs, in reverse, and exits 3 naming the cause."""
    spec = tree(actor("a"), actor("b"), actor("c", {"init": ["error"]}))
    with Supervised(tmp_path, spec) as s:
        code = s.wait()

        assert code == 3
        assert down_order(s) == ["c", "b", "a"]
        failed = s.wait_event("c", "start_failed")
        assert failed.cause == "init"
        assert failed.detail.startswith("ValueError: the cupboard is bare")
        assert "Traceback" in failed.detail


def test_a04_start_child_that_dies_without_a_word_leaves_its_last_lines(tmp_path: Path) -> None:
    """What a first start printed before it died is part of the message."""
    with Supervised(tmp_path, tree(actor("a", {"init": ["exit"]}))) as s:
        code = s.wait()

        assert code == 3
        failed = s.wait_event("a", "start_failed")
        assert failed.cause == "exit 7"
        assert "about to exit" in failed.detail


def test_a05_start_error_return_discards_the_spec(tmp_path: Path) -> None:
    """A dynamic child whose init fails is an error for who asked, and nothing for its siblings."""
    with Supervised(tmp_path, tree(actor("a"))) as s:
        s.wait_ready()
        before = s.pids()

        with pytest.raises(errors.StartFailed, match=r"(?s)extra.*init.*the cupboard is bare"):
            s.command("add", spec=dynamic("extra", init=["error"]))

        assert s.pids() == before


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ('[actor.a]\nclass="m:C"\nshutdown_s = -3', "actor.a.shutdown_s: -3"),
        ('[actor.a]\nclass="m:C"\nrestart = "often"', "actor.a.restart"),
        ('[actor.a]\nclass="nonsense"', "actor.a.class"),
        ('[actor.a]\nclass="m:C"\nnode = "nowhere"', "nowhere: no such node"),
        ('[actor.a]\nclass="m:C"\nshutdwn_s = 3', "shutdwn_s"),
        ('[node.x]\nnode="y"\n[node.y]\nnode="x"', "cycle"),
        ("[node.root]\nintensity = -1", "node.root.intensity"),
        ('[node.root]\nstrategy = "one_for_some"', "node.root.strategy"),
        ('[node.root]\norder = ["time", "time", "book", "edge"]', "duplicate"),
    ],
)
def test_a06_spec_validation_matrix(home: Home, text: str, complaint: str) -> None:
    """Every bad value is refused before any spawn, with the file and the path of its key."""
    home.config_file.write_text(text)

    with pytest.raises(errors.ConfigError) as caught:
        load(home)

    assert "hourbook.toml: " in str(caught.value)
    assert complaint in str(caught.value)


def test_a07_spec_defaults(home: Home) -> None:
    """What is not said has OTP's defaults, and `validate --json` shows them."""
    home.config_file.write_text(
        '[node.pool]\n[actor.extra]\nclass = "m:C"\n[actor.pooled]\nclass = "m:C"\nnode = "pool"\n'
    )

    command = [str(COMMAND), "validate", "--json", "--home", str(home.path)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)

    shown = json.loads(result.stdout)
    extra, pool = shown["actor"]["extra"], shown["node"]["pool"]
    assert (extra["restart"], extra["shutdown_s"], extra["node"]) == ("permanent", 5.0, "root")
    assert not extra["significant"]
    assert (pool["restart"], pool["shutdown_s"], pool["node"]) == ("permanent", "infinity", "root")
    assert (pool["strategy"], pool["intensity"], pool["period_s"]) == ("one_for_one", 5, 60)


def test_a08_permanent_is_restarted_after_every_kind_of_exit(tmp_path: Path) -> None:
    """Exit 0, an end as if asked for, and SIGKILL: each time a new process, incarnation + 1."""
    with Supervised(tmp_path, tree(actor("a"), **MANY)) as s:
        s.wait_ready()
        pids = [s.pid("a")]

        s.tell("a", "test.exit", {"code": 0})
        pids.append(s.wait_up("a", after=1).pid or 0)
        pids.append(s.crash("a", signal.SIGTERM).pid or 0)
        pids.append(s.crash("a", signal.SIGKILL).pid or 0)

        assert len(set(pids)) == 4
        row = s.rows()["a"]
        assert (row.incarnation, row.restarts) == (4, 3)
        causes = [e.cause for e in s.events() if e.event == "exited"]
        assert causes == ["exit 0", "exit 0", "signal SIGKILL"]


def test_a09_transient_is_restarted_only_after_an_abnormal_exit(tmp_path: Path) -> None:
    """Exit 0 leaves it EXITED, a manual start works, exit 1 and a signal restart it."""
    with Supervised(tmp_path, tree(actor("a", restart="transient"), **MANY)) as s:
        s.wait_ready()

        s.tell("a", "test.exit", {"code": 1})
        s.wait_up("a", after=1)
        s.crash("a")
        s.kill("a", signal.SIGTERM)
        s.wait_event("a", "exited", count=3)

        assert (s.rows()["a"].state, s.rows()["a"].restarts) == ("EXITED", 2)
        s.command("start", "a")
        assert s.rows()["a"].state == "READY"


@pytest.mark.parametrize("code", [0, 1])
def test_a10_temporary_is_never_restarted(tmp_path: Path, code: int) -> None:
    """However it ends, its spec is gone from the status."""
    with Supervised(tmp_path, tree(actor("a", restart="temporary"), actor("b"))) as s:
        s.wait_ready()

        s.tell("a", "test.exit", {"code": code})
        s.wait_event("a", "exited")

        assert set(s.rows()) == {"b"}


@pytest.mark.parametrize("strategy", ["one_for_all", "rest_for_one"])
def test_a11_temporary_bystander(tmp_path: Path, strategy: str) -> None:
    """A temporary sibling goes down with its group, and does not come back."""
    spec = tree(actor("a"), actor("b", restart="temporary"), strategy=strategy)
    with Supervised(tmp_path, spec) as s:
        s.wait_ready()

        s.crash("a")

        assert set(s.rows()) == {"a"}
        assert s.wait_event("b", "exited").cause == "requested"


def test_a12_one_for_one_changes_only_the_dead_pid(tmp_path: Path) -> None:
    """The siblings of a crashed child do not notice."""
    with Supervised(tmp_path, tree(actor("a"), actor("b"), actor("c"))) as s:
        before = s.wait_ready().pids()

        s.crash("b")

        after = s.pids()
        assert (after["a"], after["c"]) == (before["a"], before["c"])
        assert after["b"] != before["b"]


def test_a13_one_for_all_restarts_all_in_order(tmp_path: Path) -> None:
    """All stop in reverse, all start forward, all have new pids."""
    with Supervised(tmp_path, tree(*map(actor, "abc"), strategy="one_for_all")) as s:
        before = s.wait_ready().pids()

        s.kill("b")
        s.wait_event("c", "ready", count=2)

        after = s.pids()
        assert all(after[name] != before[name] for name in "abc")
        assert down_order(s) == ["b", "c", "a"]
        assert up_order(s) == ["a", "b", "c", "a", "b", "c"]


def test_a14_rest_for_one_restarts_the_later_ones(tmp_path: Path) -> None:
    """Earlier siblings keep their pid; the dead one and the later ones get new ones, in order."""
    with Supervised(tmp_path, tree(*map(actor, "abc"), strategy="rest_for_one")) as s:
        before = s.wait_ready().pids()

        s.kill("b")
        s.wait_event("c", "ready", count=2)

        after = s.pids()
        assert after["a"] == before["a"]
        assert {after["b"], after["c"]}.isdisjoint({before["b"], before["c"]})
        assert up_order(s)[3:] == ["b", "c"]


def test_a15_multiple_restarts_outlive_a_short_window(tmp_path: Path) -> None:
    """Each crash outside the period of the one before is forgiven; the exact times are a table."""
    with Supervised(tmp_path, tree(actor("a"), intensity=1, period_s=0.2)) as s:
        s.wait_ready()

        for _ in range(3):
            over_ns = time.monotonic_ns() + 300_000_000
            s.crash("a")
            wait_until(partial(is_past, over_ns), 5, "the next period")

        assert s.rows()["a"].restarts == 3
        assert s.process.poll() is None


@pytest.mark.parametrize("restart", ["permanent", "transient"])
def test_a16_escalation_at_the_third_crash_with_intensity_2(tmp_path: Path, restart: str) -> None:
    """The node ends for `max_restarts`; its parent restarts it if permanent, else leaves it."""
    spec = tree(node("n", intensity=2, restart=restart), actor("a", node="n"), actor("b", node="n"))
    with Supervised(tmp_path, spec) as s:
        s.wait_ready()

        s.crash("a")
        s.crash("a")
        s.kill("a")
        s.wait_event("n", "max_restarts")
        s.wait_event("b", "exited")

        if restart == "permanent":
            s.wait_event("n", "ready", count=2)
            assert {row.state for row in s.rows().values()} == {"READY"}
        else:
            s.wait_event("n", "exited")
            assert {row.state for row in s.rows().values()} == {"EXITED"}
        assert s.process.poll() is None


def test_a16_escalation_of_the_root_exits_5(tmp_path: Path) -> None:
    """A root that gives up stops everything and exits 5."""
    with Supervised(tmp_path, tree(actor("a"), actor("b"), intensity=0)) as s:
        s.wait_ready()

        s.kill("a")

        assert s.wait() == 5
        assert s.wait_event("b", "exited").cause == "requested"


def test_a16_a_node_may_give_up_alone_and_be_revived(tmp_path: Path) -> None:
    """With on_escalation give_up the rest runs on, degraded, until a person restarts the node."""
    spec = tree(node("n", intensity=0, on_escalation="give_up"), actor("a", node="n"), actor("b"))
    with Supervised(tmp_path, spec) as s:
        s.wait_ready()

        s.kill("a")
        s.wait_event("a", "gave_up")

        assert (s.rows()["a"].state, s.rows()["b"].state) == ("GAVE_UP", "READY")
        assert s.status().supervisor.state == "DEGRADED"
        s.command("restart", "a")
        assert s.rows()["a"].state == "READY"
        assert s.status().supervisor.state == "READY"


def test_a17_escalation_start_fails(tmp_path: Path) -> None:
    """Restarts that fail in init count; the tree gives up within its budget, without orphans."""
    spec = tree(actor("a", {"init": ["ready", "error"]}), actor("b"), intensity=3)
    with Supervised(tmp_path, spec) as s:
        s.wait_ready()
        pids = s.descendants()

        s.kill("a")

        assert s.wait() == 5
        assert [e.incarnation for e in s.events() if e.name == "a" and e.event == "starting"] == [
            *range(1, 5)
        ]
        wait_until(lambda: not any(map(is_alive, pids)), 1, "nobody left")


@pytest.mark.parametrize(
    ("strategy", "incarnations"), [("one_for_all", (3, 3)), ("rest_for_one", (2, 3))]
)
def test_a18_other_child_fails_restart(
    tmp_path: Path, strategy: str, incarnations: tuple[int, int]
) -> None:
    """one_for_all stops the restarted first child again; rest_for_one retries only the second."""
    spec = tree(actor("a"), actor("b", {"init": ["ready", "error", "ready"]}), strategy=strategy)
    with Supervised(tmp_path, spec) as s:
        s.wait_ready()

        s.kill("a")
        s.wait_up("b", after=2)

        rows = s.rows()
        assert (rows["a"].incarnation, rows["b"].incarnation) == incarnations
        assert {row.state for row in rows.values()} == {"READY"}


@pytest.mark.parametrize("strategy", ["one_for_one", "rest_for_one"])
def test_a19_hanging_restart_loop(tmp_path: Path, strategy: str) -> None:
    """While a restart hangs or is delayed, every request is answered, and stops work at once."""
    slow = Backoff(base_s=10, cap_s=10)
    spec = tree(
        actor("hangs", {"init": ["ready", "hang"]}),
        actor("waits", backoff=slow),
        strategy=strategy,
        intensity=5,
    )
    with Supervised(tmp_path, spec) as s:
        s.wait_ready()
        s.crash("waits")
        s.kill("waits")
        s.wait_event("waits", "backoff")
        if strategy == "one_for_one":
            s.kill("hangs")
            s.wait_event("hangs", "starting", count=2)

        for name in ("hangs", "waits") if strategy == "one_for_one" else ("waits",):
            with pytest.raises(errors.AlreadyPresent):
                s.command("start", name)
            with pytest.raises(errors.Restarting):
                s.command("restart", name)
            with pytest.raises(errors.Restarting):
                s.command("remove", name)
        began_s = time.monotonic()
        s.command("stop", "waits")
        assert s.rows()["waits"].state == "EXITED"
        assert s.stop() == 0
        assert time.monotonic() - began_s < 2, "0.5 s of grace for the hanging init, and load"


def test_a20_stop_timeout_kills_the_deaf(tmp_path: Path) -> None:
    """An actor that ignores all is SIGKILLed at its time-out, within a tenth of it."""
    deaf = actor("a", {"is_deaf": True, "stop": "hang"}, shutdown_s=2)
    with Supervised(tmp_path, tree(deaf)) as s:
        s.wait_ready()

        s.command("stop", "a")

        took_ns = s.wait_event("a", "exited").mono_ns - s.wait_event("a", "stopping").mono_ns
        assert s.rows()["a"].cause == "killed"
        assert 2e9 <= took_ns <= 2.2e9


def test_a20_brutal_kill_asks_nothing(tmp_path: Path) -> None:
    """An actor with shutdown "kill" is dead at once, whatever it does about SIGTERM."""
    with Supervised(tmp_path, tree(actor("a", {"stop": "hang"}, shutdown_s="kill"))) as s:
        s.wait_ready()

        s.command("stop", "a")

        took_ns = s.wait_event("a", "exited").mono_ns - s.wait_event("a", "stopping").mono_ns
        assert s.rows()["a"].cause == "killed"
        assert took_ns < 0.5e9


def test_a20_infinity_waits_until_told_otherwise(tmp_path: Path) -> None:
    """An actor with shutdown "infinity" is waited for; a second SIGTERM ends the waiting."""
    with Supervised(tmp_path, tree(actor("a", {"stop": "hang"}, shutdown_s="infinity"))) as s:
        s.wait_ready()
        s.process.send_signal(signal.SIGTERM)
        s.wait_event("a", "stopping")
        assert s.rows()["a"].state == "STOPPING"

        code = s.stop()

        assert code == 0
        assert s.wait_event("a", "exited").cause == "killed"


def test_a21_stop_race(tmp_path: Path) -> None:
    """Children that die by themselves during a shutdown are recorded and not restarted."""
    last = actor("c", {"stop": "hang"}, shutdown_s=30)
    with Supervised(tmp_path, tree(actor("a"), actor("b"), last)) as s:
        s.wait_ready()
        pid = s.pid("c")
        s.process.send_signal(signal.SIGTERM)
        s.wait_event("c", "stopping")

        s.kill("a")
        s.tell("b", "test.exit", {"code": 3})
        s.wait_event("a", "exited")
        s.wait_event("b", "exited")
        os.kill(pid, signal.SIGKILL)

        assert s.wait() == 0
        causes = {e.name: e.cause for e in s.events() if e.event == "exited" and e.incarnation}
        assert causes == {"a": "signal SIGKILL", "b": "exit 3", "c": "requested"}
        assert [e.event for e in s.events()].count("starting") == 3


def test_a22_child_unlink_cannot_hang_a_stop(tmp_path: Path) -> None:
    """Off the bus, deaf, and with daemons outside its group: gone at its time-out all the same."""
    wild = actor("a", {"is_deaf": True, "stop": "hang", "strays": 2}, shutdown_s=1)
    with Supervised(tmp_path, tree(wild)) as s:
        s.wait_ready()
        strays = wait_until(lambda: (p := s.strays("a"))[1:] and p, 5, "both strays")
        assert all(map(is_alive, strays))
        s.ask("a", "test.unplug")

        s.command("stop", "a")

        took_ns = s.wait_event("a", "exited").mono_ns - s.wait_event("a", "stopping").mono_ns
        assert 1e9 <= took_ns <= 1.5e9
        assert not any(map(is_alive, strays))
        assert len(s.descendants()) == 1, "only the tracker of multiprocess is left"
        assert s.stop() == 0


def test_a23_tree_restarts_an_inner_supervisor(tmp_path: Path) -> None:
    """An inner node over its intensity starts again: static children back, dynamic ones gone."""
    with Supervised(tmp_path, tree(node("n", intensity=0), actor("a", node="n"))) as s:
        s.wait_ready()
        s.command("add", spec=dynamic("extra", node="n"))
        assert s.rows()["extra"].state == "READY"

        s.kill("a")
        s.wait_event("n", "ready", count=2)

        assert set(s.rows()) == {"a"}
        assert s.rows()["a"].state == "READY"


def test_a24_dynamic_pool_stops_under_one_timer(tmp_path: Path) -> None:
    """Children added by command have no order: all of them stop at the same time."""
    with Supervised(tmp_path, tree()) as s:
        s.wait_ready()
        for name in ("p1", "p2", "p3", "p4"):
            s.command("add", spec=dynamic(name, is_deaf=True, stop="hang", shutdown_s=1))

        began_s = time.monotonic()
        code = s.stop()

        assert code == 0
        assert time.monotonic() - began_s < 2
        assert [e.cause for e in s.events() if e.incarnation and e.event == "exited"] == [
            "killed"
        ] * 4


def test_a24_many_temporary_children_leak_nothing(tmp_path: Path) -> None:
    """After 200 children came and went, the supervisor holds the descriptors it began with."""
    with Supervised(tmp_path, tree()) as s:
        s.wait_ready()
        fds = Path(f"/proc/{s.process.pid}/fd")
        s.command("add", spec=dynamic("warm"))
        s.command("remove", "warm")
        before, rss_bytes = len(list(fds.iterdir())), s.status().supervisor.rss_bytes

        def come_and_go(number: int) -> None:
            s.command("add", spec=dynamic(f"t{number}"))
            s.command("remove", f"t{number}")

        with ThreadPoolExecutor(4) as pool:
            list(pool.map(come_and_go, range(200)))

        assert len(list(fds.iterdir())) <= before + 2, "two for the connection of this question"
        assert s.status().supervisor.rss_bytes < rss_bytes + (4 << 20)
        assert len(s.descendants()) == 1


@pytest.mark.parametrize("restart", ["temporary", "transient"])
def test_a25_any_significant_ends_the_tree(tmp_path: Path, restart: str) -> None:
    """The normal end of a significant child ends its node, and so the tree, with 0."""
    spec = tree(
        actor("a", restart=restart, significant=True), actor("b"), auto_shutdown="any_significant"
    )
    with Supervised(tmp_path, spec) as s:
        s.wait_ready()

        s.tell("a", "test.exit", {"code": 0})

        assert s.wait() == 0
        s.wait_event("root", "auto_shutdown")
        assert down_order(s) == ["a", "b"]


def test_a25_all_significant_waits_for_the_last(tmp_path: Path) -> None:
    """With all_significant the tree ends with the last of them, not with the first."""
    spec = tree(
        actor("a", restart="transient", significant=True),
        actor("b", restart="transient", significant=True),
        auto_shutdown="all_significant",
    )
    with Supervised(tmp_path, spec) as s:
        s.wait_ready()
        s.tell("a", "test.exit", {"code": 0})
        s.wait_event("a", "exited")
        assert s.rows()["b"].state == "READY"

        s.tell("b", "test.exit", {"code": 0})

        assert s.wait() == 0


def test_a25_significant_bystander_and_stop_do_not_trigger(tmp_path: Path) -> None:
    """Neither a stop by command nor going down with a group is the end that counts."""
    spec = tree(
        actor("a"),
        actor("b", restart="transient", significant=True),
        strategy="one_for_all",
        auto_shutdown="any_significant",
    )
    with Supervised(tmp_path, spec) as s:
        s.wait_ready()

        s.kill("a")
        s.wait_up("b", after=1)
        s.command("stop", "b")

        assert s.rows()["a"].state == "READY"
        assert s.status().supervisor.state == "READY"


def test_a25_significant_escalation(tmp_path: Path) -> None:
    """A significant node that ends by its significant child ends its parent too."""
    spec = tree(
        node("n", restart="transient", significant=True, auto_shutdown="any_significant"),
        actor("a", node="n", restart="transient", significant=True),
        actor("b"),
        auto_shutdown="any_significant",
    )
    with Supervised(tmp_path, spec) as s:
        s.wait_ready()

        s.tell("a", "test.exit", {"code": 0})

        assert s.wait() == 0
        assert [e.name for e in s.events() if e.event == "auto_shutdown"] == ["n", "root"]


def dynamic(
    name: str, *, node: str = "root", shutdown_s: float = 5, **config: object
) -> dict[str, object]:
    """Return the spec of a temporary stock actor, as a command sends it."""
    return {
        "name": name,
        "class": "stock_actors:Stock",
        "node": node,
        "restart": "temporary",
        "shutdown_s": shutdown_s,
        "config": config,
    }
