"""Ask a running tree for its sources of time: one question to each of two actors. An edge."""

from hourbook.home import Home
from hourbook.link.actor_question import ask_actor
from hourbook.tree_status import check_running
from protocols.source_messages import SOURCES_KIND, AskSources, Judged, Sampled

__all__ = ["fetch_sources"]


def fetch_sources(home: Home) -> tuple[Sampled, Judged]:
    """Return what ntp_sampler and clock_model know of the sources, for ``sources_json``.

    Raises:
        SupervisorUnreachable: no tree runs on `home`.
        ActorUnreachable: one of the two does not answer; it may be between two incarnations.
    """
    check_running(home)
    question = AskSources()
    return (
        ask_actor(home, "ntp_sampler", SOURCES_KIND, question, Sampled),
        ask_actor(home, "clock_model", SOURCES_KIND, question, Judged),
    )
