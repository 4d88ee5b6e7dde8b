"""What is said of an image that cannot be pulled."""

from typing import Final

from smallmodel_operator.reconcile.sight import UnpulledImage

_WORDS_MAX: Final = 400
"""Characters of the registry's words, so that what to do about them is never cut off."""


def pull_failure(unpulled: UnpulledImage, whose: str) -> str:
    """Return which image cannot be pulled, why, and what to do.

    Args:
        unpulled: The image, and what is said of it.
        whose: Which object has it, as in "the pool a-1".
    """
    words = unpulled.message[:_WORDS_MAX].rstrip(". ")
    return (
        f"The image {unpulled.image} of {whose} cannot be pulled ({words}). Correct it in the "
        "chart's values, under images, or let the nodes reach it, for example by "
        "images.pullSecrets; then this goes on by itself."
    )
