"""Certificates of gateways, kept good: looked at every hour, and sooner after a failure."""

import asyncio
import datetime
import logging
import random
from dataclasses import dataclass, field
from typing import Final

from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.authority import Issued, authority, keep_leaf
from smallmodel_operator.clusters.certificates import CertificateUnreadable, Pair

_LOG: Final = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 3600.0
_RETRY_SECONDS: Final = 60.0
_JITTER: Final = 0.2


@dataclass(slots=True)
class Certificates:
    """Those of one installation."""

    hub: Api
    namespace: str
    hub_id: str
    issued: dict[str, Issued] = field(default_factory=dict)
    """What was seen last, by ModelCluster."""
    _said: dict[str, str] = field(default_factory=dict)
    _making: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def run(self, cluster: str, api: Api) -> None:
        """Keep the certificate of one cluster's gateway good, until cancelled."""
        while True:
            pause = _LOOK_SECONDS if await self.look(cluster, api) else _RETRY_SECONDS
            await asyncio.sleep(pause * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311

    async def look(self, cluster: str, api: Api) -> bool:
        """Look once, and return whether the certificate is good; why not is told once."""
        now = datetime.datetime.now(datetime.UTC)
        try:
            signer = await self.signer(now)
            self.issued[cluster] = await keep_leaf(
                api, self.namespace, cluster, self.hub_id, signer, now
            )
        except (errors.ApiError, CertificateUnreadable) as error:
            if self._said.get(cluster) != str(error):
                _LOG.warning(
                    "the certificate of cluster %s's gateway cannot be kept: %s",
                    cluster,
                    error,
                    extra={"cluster": cluster},
                )
            self._said[cluster] = str(error)
            return False
        self._said.pop(cluster, None)
        return True

    async def signer(self, now: datetime.datetime) -> Pair:
        """Return the installation's authority, made now if there is none.

        Raises:
            ApiError: It could not be read or made.
        """
        async with self._making:
            return await authority(self.hub, self.namespace, self.hub_id, now)
