"""The Prometheus endpoint, scraped as Prometheus and curl do."""

import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from supervised import Supervised, actor, tree
from waiting import wait_until

pytestmark = pytest.mark.live


def metrics_actor(listen: str = "127.0.0.1:0") -> Any:
    """Return the spec of a real metrics actor."""
    return actor(
        "metrics",
        {"listen": listen},
        class_path="actors.metrics:Metrics",
        config_type="actors.config:MetricsConfig",
    )


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Supervised]:
    """Run a metrics actor beside a stock one."""
    spec = tree(actor("stock"), metrics_actor())
    with Supervised(tmp_path_factory.mktemp("metrics"), spec) as supervised:
        yield supervised.wait_ready()


def url_of(served: Supervised) -> str:
    """Return the endpoint that the status shows."""
    return wait_until(
        lambda: served.rows()["metrics"].endpoints.get("metrics", ""), 10, "an endpoint"
    )


def get(url: str, **headers: str) -> tuple[int, str, str]:
    """Return status, content type and body."""
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - a loopback URL
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return answer.status, answer.headers["Content-Type"], answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers["Content-Type"], error.read().decode()


def test_scrape_shows_every_actor_and_its_counters(served: Supervised) -> None:
    """Rows and snapshots of the last beats are there, in the text format."""
    url = url_of(served)
    get(url)
    wait_until(lambda: "hourbook_scrapes_total" in get(url)[2], 5, "a beat that counts the scrape")
    status, content_type, text = get(url)

    samples = {
        (s.name, s.labels.get("actor")): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }
    assert status == 200
    assert content_type.startswith("text/plain; version=0.0.4")
    assert samples["hourbook_supervisor_up", None] == 1
    assert samples["hourbook_actor_up", "stock"] == 1
    assert samples["hourbook_actor_up", "metrics"] == 1
    assert samples["hourbook_actor_rss_bytes", "metrics"] > 1_000_000
    assert samples["hourbook_actor_beat_age_seconds", "metrics"] < 3
    assert samples["hourbook_scrapes_total", "metrics"] >= 1
    assert samples["hourbook_mailbox_accepted_total", "metrics"] == 0


def test_scrape_speaks_openmetrics_when_asked(served: Supervised) -> None:
    """Prometheus itself asks for OpenMetrics first."""
    status, content_type, text = get(
        url_of(served), Accept="application/openmetrics-text; version=1.0.0"
    )

    assert status == 200
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith("# EOF\n")


def test_other_paths_point_to_the_metrics(served: Supervised) -> None:
    """A person who opens the port in a browser learns where to look."""
    root = url_of(served).removesuffix("/metrics")

    assert get(root + "/")[0::2] == (200, "Hourbook: numbers for Prometheus are at /metrics\n")
    assert get(root + "/nope")[0] == 404


def test_idle_connections_do_not_stop_scrapes_or_beats(served: Supervised) -> None:
    """Connections beyond the limit are refused; the actor beats on, and serves once they end."""
    url = url_of(served)
    host, port = url.removeprefix("http://").removesuffix("/metrics").split(":")
    idle = [socket.create_connection((host, int(port))) for _ in range(40)]
    try:
        refused = [connection for connection in idle[32:] if b" 503 " in connection.recv(100)]
    finally:
        for connection in idle:
            connection.close()

    assert len(refused) == 8
    wait_until(lambda: get(url)[0] == 200, 5, "a scrape")
    assert served.rows()["metrics"].restarts == 0


def test_killed_metrics_actor_is_ready_within_half_a_second(served: Supervised) -> None:
    """Its imports are light: kill -9 to READY again takes less than 500 ms."""
    before = served.wait_up("metrics")
    killed_ns = served.kill("metrics")
    served.wait_up("metrics", after=before.incarnation)
    took_ms = (time.monotonic_ns() - killed_ns) / 1e6

    print(f"kill -9 to READY: {took_ms:.0f} ms")
    assert took_ms < 2000  # a loaded machine; make bench holds it to 500
    assert get(url_of(served))[0] == 200


def test_port_in_use_is_degraded_and_named(tmp_path: Path) -> None:
    """The tree starts without its metrics, and says which address is taken."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with Supervised(tmp_path / "home", tree(metrics_actor(address))) as supervised:
            supervised.wait_ready()
            row = supervised.rows()["metrics"]

    assert row.state == "DEGRADED"
    assert f"{address}, got: Address already in use" in row.reason
