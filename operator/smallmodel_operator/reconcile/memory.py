"""What was computed of values that are the same as in the pass before.

It saves time and changes no result: what a pass returns depends on its arguments alone. With a
thousand models, of which a pass finds one changed, it saves most of the time.
"""

from collections.abc import Callable
from typing import Any, TypeVar

Made = TypeVar("Made")


class Memory:
    """The last result for each name, and the inputs that it was made of."""

    def __init__(self) -> None:
        self._now: dict[tuple[str, str], tuple[tuple[object, ...], Any]] = {}
        self._before = self._now

    def begin(self) -> None:
        """Begin a pass: what it does not ask for is forgotten with the next one."""
        self._before, self._now = self._now, {}

    def recall(
        self,
        what: str,
        name: str,
        inputs: tuple[object, ...],
        make: Callable[[], Made],
        keep: Callable[[Made], bool] = lambda _: True,
    ) -> Made:
        """Return what was made of equal inputs in the pass before, or make it.

        Args:
            what: Tells results of one name apart.
            name: Whose result it is.
            inputs: Everything that the result depends on.
            make: Makes it.
            keep: Tells whether a result depends on nothing but the inputs.
        """
        known = self._before.get((what, name))
        if known is not None and known[0] == inputs:
            self._now[what, name] = known
            recalled: Made = known[1]
            return recalled
        made = make()
        if keep(made):
            self._now[what, name] = (inputs, made)
        return made
