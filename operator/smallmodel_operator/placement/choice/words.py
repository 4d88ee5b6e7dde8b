"""Numbers and names as people read them."""

from collections.abc import Iterable


def money(amount: float) -> str:
    """Return an amount with two decimals, or with four where that is little: `0.72`, `0.0045`."""
    return f"{amount:z.2f}" if abs(amount) >= 0.1 else f"{amount:z.4f}"


def signed(amount: float) -> str:
    """Return an amount with its sign: `+0.72`."""
    return f"{amount:+z.2f}" if abs(amount) >= 0.1 else f"{amount:+z.4f}"


def listed(names: Iterable[str]) -> str:
    """Return names in the order of the alphabet, with commas between them."""
    return ", ".join(sorted(names))
