"""Verifying requests, one at a time for each pool, beside the passes that order them."""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

from smallmodel_operator.api.modelplacement import PlacedProbe
from smallmodel_operator.clusters.reach import DIRECT, NoWay, Reach
from smallmodel_operator.clusters.ref import PODS, Ref
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.plan.pools.values import SERVE_PORT
from smallmodel_operator.probe import Answer, no_answer, probe
from smallmodel_operator.reconcile.orders import ProbeOrder

_LOG: Final = logging.getLogger(__name__)

_PAUSE_SECONDS: Final = 0.25


class Probes:
    """The requests that are under way, and what they came to."""

    def __init__(
        self, now: Callable[[], str], wake: Callable[[str], None], reach: Reach = DIRECT
    ) -> None:
        """Make it.

        Args:
            now: Tells the time as RFC 3339.
            wake: Called with the namespace when an answer is there.
            reach: How heads are reached; whoever made it closes it.
        """
        self._reach = reach
        self._now = now
        self._wake = wake
        self._tasks: dict[ObjectKey, asyncio.Task[None]] = {}
        self._answers: dict[ObjectKey, PlacedProbe] = {}

    def start(self, namespace: str, order: ProbeOrder) -> None:
        """Send the request, unless the pool has one under way."""
        key = (namespace, order.pool)
        if key not in self._tasks:
            task = asyncio.create_task(self._send(namespace, order), name=f"verify {order.model}")
            self._tasks[key] = task
            task.add_done_callback(lambda _: self._ended(key))

    def under_way(self, namespace: str) -> frozenset[str]:
        """Return the pools of a namespace whose request is under way."""
        return frozenset(pool for space, pool in self._tasks if space == namespace)

    def answers(self, namespace: str) -> dict[str, PlacedProbe]:
        """Return the last answers of a namespace's models."""
        return {name: found for (space, name), found in self._answers.items() if space == namespace}

    def taken(self, namespace: str, answers: Mapping[str, PlacedProbe]) -> None:
        """Drop answers that were written down; a newer one of the same model stays."""
        for name, answer in answers.items():
            if self._answers.get((namespace, name)) == answer:
                del self._answers[namespace, name]

    def keep(self, namespace: str, models: Collection[str]) -> None:
        """Drop the answers of all other models: one of the same name later is another one."""
        for space, name in list(self._answers):
            if space == namespace and name not in models:
                del self._answers[space, name]

    async def close(self) -> None:
        """End what is under way."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, key: ObjectKey) -> None:
        del self._tasks[key]
        self._wake(key[0])

    async def _send(self, namespace: str, order: ProbeOrder) -> None:
        answer = await self._ask(PODS.ref(order.head.pod, namespace), order)
        self._answers[namespace, order.model] = PlacedProbe(
            serving_hash=order.serving_hash,
            pool=order.pool,
            passed=answer.passed,
            reason=answer.reason,
            message=answer.message[:1024],
            at=self._now(),
            performance=answer.performance,
        )
        _LOG.info(
            "verified" if answer.passed else "verification failed: %s",
            *(() if answer.passed else (answer.message,)),
            extra={"namespace": namespace, "model": order.model, "pool": order.pool},
        )

    async def _ask(self, pod: Ref, order: ProbeOrder) -> Answer:
        deadline = time.monotonic() + order.patience
        while True:
            answer = await self._ask_once(pod, order)
            if not answer.worth_repeating or time.monotonic() > deadline:
                return answer
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _ask_once(self, pod: Ref, order: ProbeOrder) -> Answer:
        try:
            root = await self._reach.base(pod, order.head.address, SERVE_PORT)
        except NoWay as error:
            return no_answer(str(error))
        answer = await probe(f"{root}/{order.model}/v1", order.model, order.task, order.timeout)
        trouble = self._reach.trouble(pod, SERVE_PORT)
        return no_answer(trouble) if trouble and answer.worth_repeating else answer
