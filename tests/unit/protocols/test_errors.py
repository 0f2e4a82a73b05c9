"""The error tree: four branches, one code each."""

import inspect

import pytest

from protocols import errors

CLASSES = [
    c for c in vars(errors).values() if inspect.isclass(c) and issubclass(c, errors.HourbookError)
]
BRANCHES = (errors.CallerError, errors.OperatorError, errors.WorldError, errors.InternalError)


@pytest.mark.parametrize("error", CLASSES, ids=lambda c: c.__name__)
def test_every_class_says_who_must_act(error: type[errors.HourbookError]) -> None:
    """Each error below the root belongs to exactly one branch and is exported."""
    branches = [b for b in BRANCHES if issubclass(error, b)]

    assert error is errors.HourbookError or len(branches) == 1
    assert error.__name__ in errors.__all__


def test_codes_are_unique_and_round_trip() -> None:
    """Each code builds its own class again."""
    assert len({c.code for c in CLASSES}) == len(CLASSES)
    for error in CLASSES:
        assert type(errors.from_code(error.code, "m")) is error


def test_unknown_code_is_the_root() -> None:
    """An error of a newer peer is still an HourbookError with its words."""
    assert str(errors.from_code("from_the_future", "words", hint="upgrade")) == "words (upgrade)"
