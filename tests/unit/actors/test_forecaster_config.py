"""The configuration of forecasters: mistakes are found before anything starts."""

from typing import Any

import pytest

from actors.base import decode_config
from actors.config import ClockModelConfig
from protocols import errors


def test_none_are_configured_by_default() -> None:
    """Nothing foreign runs unless somebody asks for it."""
    config = decode_config(ClockModelConfig, {})

    assert (config.forecasters, config.forecaster_options) == ((), {})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            {"forecasters": ["nobody"]},
            "forecasters must name installed ones (chronos-bolt), not 'nobody'",
        ),
        (
            {"forecasters": ["chronos-bolt", "chronos-bolt"]},
            "forecasters must not name the same one twice",
        ),
        (
            {"forecaster_options": {"chronos-bolt": {"path": "/"}}},
            "forecaster_options must only name forecasters, not 'chronos-bolt'",
        ),
        ({"forecasters": ["../x"]}, "$.forecasters[0]"),
        ({"forecasters": [f"f{n}" for n in range(9)]}, "length <= 8"),
        ({"forecaster_timeout_s": 0.01}, "$.forecaster_timeout_s"),
    ],
)
def test_mistakes_are_one_line(config: dict[str, Any], message: str) -> None:
    """Each says what was expected, and where."""
    with pytest.raises(errors.ConfigError) as caught:
        decode_config(ClockModelConfig, config)

    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
