"""Random lives of random trees: whatever happens, the rules of supervision hold.

`TreeWorld` checks at every step that no actor lives twice, that nothing is born after the end, that
nothing is dropped alive and that an end leaves nobody behind. A cell of the machine that cannot be
reached raises when it is.
"""

import random

import pytest
from fakes.tree_world import TreeWorld, actor, node

from protocols import errors
from supervisor.spec import Backoff, ChildSpec, NodeSpec, TreeSpec

STRATEGIES = ("one_for_one", "one_for_all", "rest_for_one")
RESTARTS = ("permanent", "permanent", "transient", "temporary")
ANSWERS = ("ready",) * 12 + ("degraded", "ignore", "error", "", "")


def random_tree(rng: random.Random) -> TreeSpec:
    """Return a tree of up to 4 nodes and 8 actors."""
    nodes: dict[str, NodeSpec] = {}
    for name in ("root", "n1", "n2", "n3")[: rng.randint(1, 4)]:
        nodes[name] = node(
            name,
            node=rng.choice([*nodes]) if nodes else "",
            strategy=rng.choice(STRATEGIES),
            restart=rng.choice(RESTARTS),
            intensity=rng.choice((0, 1, 3, 5)),
            on_escalation=rng.choice(("escalate", "escalate", "give_up")),
            auto_shutdown=rng.choice(("never", "never", "any_significant", "all_significant")),
        )
    actors: dict[str, ChildSpec] = {}
    for name in "abcdefgh"[: rng.randint(0, 8)]:
        actors[name] = random_actor(rng, name, [*nodes])
    return TreeSpec(nodes, actors)


def random_actor(rng: random.Random, name: str, nodes: list[str]) -> ChildSpec:
    """Return some actor."""
    restart = rng.choice(RESTARTS)
    return actor(
        name,
        node=rng.choice(nodes),
        restart=restart,
        significant=restart != "permanent" and rng.random() < 0.3,
        shutdown_s=rng.choice((5.0, 1.0, "kill", "infinity")),
        backoff=rng.choice((Backoff(), Backoff(base_s=0))),
        enabled=rng.random() < 0.9,
    )


class Life:
    """One random life of one random tree."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.count = 0
        answers = {name: self.rng.choice(ANSWERS) for name in "abcdefgh"}
        self.world = TreeWorld(random_tree(self.rng), seed=seed, answers=answers)

    def step(self) -> None:
        """Let one thing happen."""
        happenings = (
            (8, self.crash),
            (4, self.answer),
            (6, lambda: self.world.advance(self.rng.choice((0.1, 1, 30, 70)))),
            (1, lambda: self.world.advance(15, beating=False)),
            (2, self.beat),
            (4, self.command),
            (2, self.add),
            (2, self.change_mood),
            (1, self.reshape),
        )
        weights = [weight for weight, _ in happenings]
        self.rng.choices([happening for _, happening in happenings], weights)[0]()

    def crash(self) -> None:
        if self.world.living:
            self.world.end(self.rng.choice([*self.world.living]), self.rng.choice((0, 1, -9, -15)))

    def answer(self) -> None:
        if self.world.living:
            name = self.rng.choice([*self.world.living])
            self.world.answer(name, self.rng.choice(("ready", "degraded", "ignore", "error")))

    def beat(self) -> None:
        for name in [*self.world.living]:
            if name in self.world.living:
                reason = self.rng.choice(("", "", "no disk"))
                self.world.do(self.world.tree.beat(name, reason, self.world.now_ns))

    def command(self) -> None:
        tree, now_ns = self.world.tree, self.world.now_ns
        name = self.rng.choice([*tree.actors, *(n for n in tree.nodes if n != "root"), "ghost"])
        request = self.rng.choice((tree.start, tree.restart, tree.stop, tree.remove))
        try:
            actions = request(name, now_ns)
        except errors.CallerError:
            return
        self.world.do(actions)

    def add(self) -> None:
        self.count += 1
        spec = random_actor(self.rng, f"d{self.count}", [*self.world.tree.nodes])
        try:
            actions = self.world.tree.add(spec, self.world.now_ns)
        except errors.CallerError:
            return
        self.world.do(actions)

    def change_mood(self) -> None:
        name = self.rng.choice("abcdefgh")
        self.world.answers[name] = self.rng.choice(ANSWERS)
        self.world.deaf.symmetric_difference_update({self.rng.choice("abcdefgh")})

    def reshape(self) -> None:
        old = self.world.tree.spec
        actors = {n: s for n, s in old.actors.items() if self.rng.random() < 0.8}
        name = self.rng.choice("abcdefgh")
        if name not in old.actors and name not in self.world.tree.actors:
            actors[name] = random_actor(self.rng, name, [*old.nodes])
        new = TreeSpec(old.nodes, actors)
        restart = self.rng.sample([*actors], k=len(actors) // 3)
        self.world.do(self.world.tree.reshape(new, restart, self.world.now_ns))


@pytest.mark.parametrize("block", range(10))
def test_random_lives_keep_the_rules_and_can_always_be_stopped(block: int, seed: int) -> None:
    """No step breaks a rule; two stops end every tree, and nothing is left."""
    for life_seed in range(seed + block * 100, seed + block * 100 + 100):
        life = Life(life_seed)
        for _ in range(60):
            if life.world.exit_code is not None:
                break
            life.step()

        if life.world.exit_code is None:
            life.world.do(life.world.tree.stop_all(life.world.now_ns))
            life.world.do(life.world.tree.kill_all(life.world.now_ns))
            life.world.advance(60)
        assert life.world.exit_code is not None, f"seed {life_seed}: {life.world.states}"
        assert life.world.tree.state == "EXITED", f"seed {life_seed}"
        assert life.world.living == {}, f"seed {life_seed}"


def test_a_quiet_tree_comes_up_again(seed: int) -> None:
    """After any storm of crashes within its budget, every wanted actor is ready again."""
    rng = random.Random(seed)
    for _ in range(100):
        strategy = rng.choice(STRATEGIES)
        nodes = {"root": node(intensity=1000, strategy=strategy)}
        actors = {name: actor(name) for name in "abcde"}
        world = TreeWorld(TreeSpec(nodes, actors), seed=rng.getrandbits(32))

        for _ in range(rng.randint(1, 50)):
            if world.living:
                world.end(rng.choice([*world.living]))
            world.advance(rng.choice((0, 0.5, 5)))
        world.advance(60)

        assert set(world.states.values()) == {"READY"}
