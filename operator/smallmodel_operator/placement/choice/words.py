"""Numbers as people read them."""


def money(amount: float) -> str:
    """Return an amount with two decimals, or with four where that is little: `0.72`, `0.0045`."""
    text = f"{amount:.2f}" if abs(amount) >= 0.1 else f"{amount:.4f}"
    return text.removeprefix("-") if float(text) == 0 else text


def signed(amount: float) -> str:
    """Return an amount with its sign: `+0.72`."""
    text = money(amount)
    return text if text.startswith("-") else f"+{text}"
