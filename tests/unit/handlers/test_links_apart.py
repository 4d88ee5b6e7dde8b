"""Many links that begin together do not burden the hub together."""

import itertools

import pytest

from builders.linked_clusters import linked
from smallmodel_operator.status.link import PERIOD_SECONDS


async def test_links_that_began_together_do_not_look_together_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shares = itertools.cycle((0.1, 0.9))
    monkeypatch.setattr("smallmodel_operator.handlers.link.random.random", lambda: next(shares))
    async with linked() as hub:
        early, late = await hub.join("early"), await hub.join("late")
        await hub.look()
        asked = [len(member.kube.seen) for member in (early, late)]

        hub.clock.turn(PERIOD_SECONDS / 2)
        await hub.settled()
        assert len(early.kube.seen) > asked[0]
        assert len(late.kube.seen) == asked[1]

        hub.clock.turn(PERIOD_SECONDS * 0.4)
        await hub.settled()
        assert len(late.kube.seen) > asked[1]
