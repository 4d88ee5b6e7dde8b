"""Quantities as API servers write them."""

import re
from typing import Final

# All of them, and exponents: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
_FACTORS: Final = {
    "n": 1e-9,
    "u": 1e-6,
    "m": 1e-3,
    "": 1.0,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "P": 1e15,
    "E": 1e18,
    "Ki": 2.0**10,
    "Mi": 2.0**20,
    "Gi": 2.0**30,
    "Ti": 2.0**40,
    "Pi": 2.0**50,
    "Ei": 2.0**60,
}
_QUANTITY: Final = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([numkKMGTPE]?i?)")


def amount_of(quantity: str | int | float) -> float:
    """Return the number that a quantity stands for.

    Raises:
        ValueError: It is no quantity.
    """
    match = _QUANTITY.fullmatch(str(quantity))
    if match is None or match.group(2) not in _FACTORS:
        raise ValueError(f"{quantity!r} is not a quantity")
    return float(match.group(1)) * _FACTORS[match.group(2)]
