"""The fields of a config file that others wrote, checked one by one."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pullmatte.errors import PullmatteError, WeightsError

_LEVELS = 4
_LARGEST = 65536


class Fields:
    """A config file's fields, each checked as it is asked for."""

    def __init__(self, record: Mapping[str, Any], path: Path) -> None:
        """Take what a file holds, and its path for the messages."""
        self.path, self._record = path, record

    def whole(self, name: str, default: int | None = None, most: int = _LARGEST) -> int:
        """Return a whole number, 1 to `most`; where it is missing, `default` if there is one.

        Raises:
            WeightsError: If it is missing or anything else.
        """
        value = self._get(name, default)
        if type(value) is not int or not 1 <= value <= most:
            raise self._odd(name, f"a whole number, 1 to {most}")
        return value

    def levels(self, name: str, *, one_for_all: bool = False) -> tuple[int, ...]:
        """Return the four whole numbers of the four levels; or one number, four times.

        Raises:
            WeightsError: If they are missing or anything else.
        """
        value = self._get(name, None)
        if one_for_all and isinstance(value, int):
            value = [value] * _LEVELS
        fine = isinstance(value, list) and len(value) == _LEVELS
        if not fine or not all(type(each) is int and 1 <= each <= _LARGEST for each in value):
            raise self._odd(name, "four whole numbers over 0")
        return tuple(value)

    def number(self, name: str, default: float) -> float:
        """Return a number over 0; where it is missing, `default`.

        Raises:
            WeightsError: If it is anything else.
        """
        value = self._get(name, default)
        if (
            isinstance(value, bool)
            or not isinstance(value, int | float)
            or not 0 < value < math.inf
        ):
            raise self._odd(name, "a number over 0")
        return float(value)

    def _get(self, name: str, default: float | None) -> Any:
        value = self._record.get(name)
        if value is None and default is None:
            raise WeightsError(f"{self.path}: lacks {name!r}; mend or remove the file")
        return default if value is None else value

    def _odd(self, name: str, expected: str) -> WeightsError:
        return WeightsError(
            f"{self.path}: {name} is {repr(self._record[name])[:60]}, expected {expected}; mend or "
            "remove the file"
        )


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Tell of which file the values are that don't go together.

    Raises:
        WeightsError: If the block raises that a value can't be.
    """
    try:
        yield
    except WeightsError:
        raise
    except PullmatteError as error:
        raise WeightsError(f"{path}: {error}; mend or remove the file") from error
