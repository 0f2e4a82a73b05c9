"""The metrics actor: owns the Prometheus endpoint. An edge.

A scrape asks the supervisor's control socket for one status, in which the snapshots of every
actor's last beat ride, and renders it. Nothing is stored here, so nothing piles up, and a restart
of this actor loses no number. The actor's loop accepts connections, and each is served in a thread
of its own: a slow scraper delays neither the beat nor another scraper.
"""

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final, cast
from urllib.parse import urlsplit

from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector, CollectorRegistry

from actors.base import Actor, Degraded, Outcome, Ready
from actors.config import MetricsConfig
from actors.listen import RETRY_S, bind_listener, endpoint_url
from actors.metrics_exposition import families_of
from hourbook.home import Home
from hourbook.tree_status import fetch_status
from protocols import errors
from protocols.control import Snapshot

__all__ = ["Metrics"]

CONNECTIONS_MAX: Final = 32
"""Connections at once, each a thread; more are answered 503, so that a flood costs no memory."""
CLIENT_TIMEOUT_S: Final = 10.0
"""A client that is silent for longer is hung up on."""
_BUSY: Final = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_INDEX: Final = b"Hourbook: numbers for Prometheus are at /metrics\n"


class Metrics(Actor[MetricsConfig]):
    """Answers scrapes at the configured address."""

    config_type = MetricsConfig

    def init(self) -> Outcome:
        """Bind the address; a port in use is retried."""
        self._server: _ScrapeServer | None = None
        try:
            return Ready(self._open())
        except errors.AddressUnusable as error:
            self.reactor.after(RETRY_S, self._retry)
            return Degraded(str(error))

    def snapshot(self) -> Snapshot:
        """Return how many scrapes were answered."""
        return {} if self._server is None else self._server.snapshot()

    def stop(self) -> None:
        """Close the endpoint; scrapes under way end with the process."""
        if self._server is not None:
            self.reactor.unwatch(self._server.fileno())
            self._server.server_close()

    def _open(self) -> dict[str, str]:
        self._server = _ScrapeServer(self.config.listen, self.home)
        self.reactor.watch(self._server.fileno(), self._server.handle_request)
        return {"metrics": self._server.url}

    def _retry(self) -> None:
        try:
            self.reactor.recover(self._open())
        except errors.AddressUnusable as error:
            self.reactor.degrade(str(error))
            self.reactor.after(RETRY_S, self._retry)


class _TreeCollector(Collector):
    """The status of the tree at the instant of one scrape."""

    def __init__(self, server: "_ScrapeServer") -> None:
        self._server = server

    def collect(self) -> Iterator[Metric]:
        """Ask the supervisor, once."""
        try:
            status = fetch_status(self._server.home, src="metrics")
        except errors.HourbookError:
            self._server.counts["scrapes_failed_total"] += 1
            status = None
        return families_of(status)


class _ScrapeServer(ThreadingHTTPServer):
    """A small HTTP server; it answers GET and HEAD of two paths."""

    daemon_threads = True
    block_on_close = False
    timeout = 0.0  # never wait for a connection that was there and is gone again

    def __init__(self, listen: str, home: Home) -> None:
        self.home = home
        self.counts: Counter[str] = Counter()
        self._slots = threading.BoundedSemaphore(CONNECTIONS_MAX)
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(_TreeCollector(self))
        listener = bind_listener(listen)
        listener.settimeout(0)
        super().__init__(listener.getsockname()[:2], _ScrapeHandler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.url = endpoint_url(listener, "/metrics")

    def snapshot(self) -> Snapshot:
        """Return the counters of this endpoint."""
        return {name: float(count) for name, count in self.counts.items()}

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve a connection in a thread of its own, or refuse it."""
        if self._slots.acquire(blocking=False):
            super().process_request(request, client_address)
            return
        self.counts["scrapes_refused_total"] += 1
        with suppress(OSError):
            request.send(_BUSY, socket.MSG_DONTWAIT)
        self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve one connection to its end."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._slots.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        """Count a client that hung up; the standard server would print a traceback."""
        self.counts["scrapes_aborted_total"] += 1


class _ScrapeHandler(BaseHTTPRequestHandler):
    """One connection of a scraper."""

    protocol_version = "HTTP/1.1"
    timeout = CLIENT_TIMEOUT_S
    server_version = "hourbook"
    sys_version = ""

    def do_GET(self) -> None:
        """Answer a scrape."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer with the headers of a scrape."""
        self._answer()

    def _answer(self) -> None:
        server = cast("_ScrapeServer", self.server)
        match urlsplit(self.path).path:
            case "/metrics":
                self._answer_scrape(server)
            case "/":
                self._send(200, "text/plain; charset=utf-8", _INDEX)
            case _:
                self._send(404, "text/plain; charset=utf-8", b"try /metrics\n")

    def _answer_scrape(self, server: _ScrapeServer) -> None:
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        body = encode(server.registry)
        server.counts["scrapes_total"] += 1
        self._send(200, content_type, body)

    def _send(self, status: int, content_type: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - named by http.server
        """Print nothing: scrapes are counted, and there is one every few seconds."""
