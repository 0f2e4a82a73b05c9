"""What secrets look like: rules as data, and their patterns as RE2 reads them.

RE2 matches in time that grows with the text alone, whatever the pattern: none can hang the writer.
(It knows no look-around and no back references.) What a rule replaces is the group `secret` of its
pattern, and all that fits where there is none. A rule with `hints` is only tried on text that has
one of them. NAMED also hides what stands under a name that says so (FIELD_ENDINGS).
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from protocols import errors

__all__ = [
    "ALL",
    "BUILT_IN",
    "FIELD_ENDINGS",
    "NAMED",
    "Rule",
    "compile_rules",
    "unknown",
]

ALL: Final = "all"
"""Stands for every built-in rule."""
NAMED: Final = "named-secret"
_PATTERN_MEMORY_BYTES: Final = 8 << 20
_NAMES: Final = (
    r"(?:[a-z0-9]+[_.-])*(?:password|passwd|passphrase|secret|secret[_-]?key|api[_-]?key"
    r"|access[_-]?key|private[_-]?key|access[_-]?token|auth[_-]?token|refresh[_-]?token)"
)
FIELD_ENDINGS: Final = (
    *("password", "passwd", "passphrase", "secret", "secretkey", "token"),
    *("apikey", "accesskey", "privatekey", "credential", "credentials", "authorization"),
)
"""How names of fields end whose whole text is a secret: only letters and digits of a name count,
capitals do not."""


class Rule(NamedTuple):
    """One shape.

    Attributes:
        pattern: of RE2.
        hints: text without any of these cannot fit; (): any text may.
        meaning: what it finds.
        folds: capitals do not count; the hints are small.
    """

    pattern: str
    hints: tuple[str, ...]
    meaning: str
    folds: bool = False


BUILT_IN: Final[Mapping[str, Rule]] = {
    "private-key": Rule(
        r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----(?s:.*?)"
        r"(?:-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----|\z)",
        ("PRIVATE KEY",),
        "a private key in PEM, up to its end or that of the text",
    ),
    "aws-access-key": Rule(
        r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b",
        ("AKIA", "ASIA", "ABIA", "ACCA"),
        "an access key id of AWS",
    ),
    "github-token": Rule(
        r"\b(?:gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255})\b",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_"),
        "a token of GitHub",
    ),
    "gitlab-token": Rule(r"\bglpat-[A-Za-z0-9_-]{20,}", ("glpat-",), "a token of GitLab"),
    "slack-token": Rule(r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}", ("xox",), "a token of Slack"),
    "google-key": Rule(r"\bAIza[A-Za-z0-9_-]{35}", ("AIza",), "an API key of Google"),
    "model-key": Rule(
        r"\bsk-[A-Za-z0-9_-]{20,}", ("sk-",), "a key of OpenAI, Anthropic and others (`sk-...`)"
    ),
    "stripe-key": Rule(
        r"\b[rs]k_(?:live|test)_[A-Za-z0-9]{16,}", ("k_live_", "k_test_"), "a key of Stripe"
    ),
    "package-token": Rule(
        r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,})",
        ("npm_", "pypi-"),
        "a token of npm or PyPI",
    ),
    "jwt": Rule(
        r"\beyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        ("eyJ",),
        "a signed JSON Web Token",
    ),
    "bearer": Rule(
        r"(?i:\bbearer\s+)(?P<secret>[A-Za-z0-9._~+/-]{16,}=*)",
        ("bearer",),
        "a bearer token of HTTP",
        folds=True,
    ),
    "url-password": Rule(
        r"\b[A-Za-z][A-Za-z0-9+.-]*://[^/\s:@]*:(?P<secret>[^/\s@]+)@",
        ("://",),
        "the password in an URL",
    ),
    NAMED: Rule(
        rf"(?i:\b{_NAMES})[\"']?\s*[:=]\s*[\"']?(?P<secret>[^\s\"',;\[][^\s\"',;]{{3,}})",
        ("passw", "passphrase", "secret", "key", "token"),
        "what is said of a `password`, `secret`, `api_key`, `access_token` and the like, in text"
        " (`password=...`) and as a field of details and values, or a key of the store",
        folds=True,
    ),
}
"""By name, in the order in which they are tried."""


def unknown(names: Iterable[str]) -> list[str]:
    """Return the names that no built-in rule has."""
    return [name for name in names if name not in BUILT_IN and name != ALL]


def compile_rules(names: Iterable[str], patterns: Mapping[str, str]) -> dict[str, tuple[Rule, Any]]:
    """Return rules by name, each with its compiled pattern, in the order in which they are tried.

    Args:
        names: of built-in rules; `all` for every one.
        patterns: of the operator's own, by name.

    Raises:
        BadRequest: a pattern that RE2 cannot read.
    """
    chosen = set(names)
    rules = {name: BUILT_IN[name] for name in BUILT_IN if name in chosen or ALL in chosen}
    rules |= {name: Rule(pattern, (), "") for name, pattern in patterns.items()}
    return {name: (rule, _compile(name, rule.pattern)) for name, rule in rules.items()}


def _compile(name: str, pattern: str) -> Any:  # noqa: ANN401 - RE2 has no types
    """Return a compiled pattern.

    Raises:
        BadRequest: RE2 cannot read it, or it fits empty text.
    """
    import re2  # noqa: PLC0415 - most books have no rules

    options = re2.Options()
    options.log_errors, options.max_mem = False, _PATTERN_MEMORY_BYTES
    try:
        compiled = re2.compile(pattern, options)
    except re2.error as error:
        said = error.args[0]
        text = said.decode(errors="replace") if isinstance(said, bytes) else str(said)
        raise errors.BadRequest(
            f"Expected a pattern of RE2, got {pattern!r} of {name}: {text}", field=name
        ) from None
    if compiled.search("") is not None:
        raise errors.BadRequest(
            f"Expected a pattern that fits some text, got {pattern!r} of {name}, which fits none",
            field=name,
        )
    return compiled
