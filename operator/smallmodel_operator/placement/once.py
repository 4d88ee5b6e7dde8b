"""A property that is worked out once, for what is asked of each of many clusters."""

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

_Value = TypeVar("_Value")


class Once(Generic[_Value]):
    """`functools.cached_property` without a lock, as Python has it from 3.12 on.

    The lock takes longer than most of what is worked out here.
    """

    def __init__(self, work: Callable[[Any], _Value]) -> None:
        self._work = work
        self._name = work.__name__
        self.__doc__ = work.__doc__

    @overload
    def __get__(self, one: None, owner: type) -> Self: ...

    @overload
    def __get__(self, one: object, owner: type) -> _Value: ...

    def __get__(self, one: object | None, owner: type) -> Self | _Value:
        """Return the value; what an instance has under the name is found before this."""
        if one is None:
            return self
        value: _Value = self._work(one)
        one.__dict__[self._name] = value
        return value
