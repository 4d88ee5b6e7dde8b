"""`python -m smallmodel_operator.install.catalogue`: applies the ModelCards that come with us.

It runs before the operator starts, since neither Helm nor `kubectl apply` can create an object in
the same step as the definition of its kind.
"""

import asyncio
import logging
import sys
from collections.abc import Iterable
from typing import Any, Final

from smallmodel_operator.api.modelcard import ModelCard
from smallmodel_operator.api.names import LABEL_MANAGED_BY, MANAGER
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.errors import ApiError, ApiMissing, Conflict
from smallmodel_operator.local.bundled import fetch_bundled_cards

PATIENCE_SECONDS: Final = 60.0
"""How long the definition of ModelCards may take to be served after it was created."""
_PAUSE_SECONDS: Final = 1.0

_log: Final = logging.getLogger(__name__)


async def apply_cards(api: Api, cards: Iterable[ModelCard]) -> tuple[str, ...]:
    """Have each card be as it is here, and return the names of those that somebody else changed.

    Raises:
        ApiError: A card could not be applied; `ApiMissing` where the kind is not served yet.
    """
    kept = []
    for card in cards:
        try:
            await api.apply(build_card(card), force=False)
        except Conflict:
            kept.append(card.metadata.name)
    return tuple(kept)


def build_card(card: ModelCard) -> dict[str, Any]:
    """Return the card as it is written in its file, and as ours."""
    manifest: dict[str, Any] = card.model_dump(mode="json", by_alias=True, exclude_unset=True)
    labels = manifest["metadata"].get("labels", {}) | {LABEL_MANAGED_BY: MANAGER}
    manifest["metadata"]["labels"] = labels
    return manifest


async def run(api: Api, cards: Iterable[ModelCard], patience: float) -> bool:
    """Apply the cards, waiting for their kind to be served; return whether it was.

    Raises:
        ApiError: A card could not be applied.
    """
    cards = tuple(cards)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + patience
    while True:
        try:
            kept = await apply_cards(api, cards)
        except ApiMissing as error:
            if loop.time() >= deadline:
                _log.warning("no ModelCards were applied: %s", error)
                return False
            await asyncio.sleep(_PAUSE_SECONDS)
        else:
            break
    _log.info("%d ModelCards are applied", len(cards) - len(kept))
    if kept:
        _log.warning(
            "changed by somebody else, and left alone: %s; delete a card to have ours again",
            ", ".join(kept),
        )
    return True


async def _main() -> int:
    try:
        async with await Api.connect() as api:
            # Without the definitions the operator has more to say than this step.
            await run(api, fetch_bundled_cards().cards, PATIENCE_SECONDS)
    except ApiError as error:
        _log.error("the ModelCards could not be applied: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    sys.exit(asyncio.run(_main()))
