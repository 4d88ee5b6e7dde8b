"""What Serve says of each pool's applications, asked with the pool's own token."""

import base64
import logging
from collections.abc import Mapping
from typing import Final

from smallmodel_operator.api.names import INDEX_APPLICATION
from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.ray import (
    DashboardError,
    DashboardForbidden,
    DashboardUnauthorized,
    RayDashboards,
)
from smallmodel_operator.clusters.reach import Reach
from smallmodel_operator.clusters.ref import PODS
from smallmodel_operator.handlers.objects import ObjectKey
from smallmodel_operator.handlers.writer import Writer
from smallmodel_operator.plan.pools.values import DASHBOARD_PORT, SERVE_PORT
from smallmodel_operator.reconcile.sight import Head
from smallmodel_operator.status.serve import ServedApplication

_LOG: Final = logging.getLogger(__name__)


class Dashboards:
    """The dashboards of all pools."""

    def __init__(self, writer: Writer, reach: Reach) -> None:
        self._writer = writer
        self._dashboards = RayDashboards(reach=reach)
        self._tokens: dict[ObjectKey, str] = {}
        self._barred: dict[ObjectKey, str] = {}

    async def observe(
        self, namespace: str, pool: str, head: Head
    ) -> Mapping[str, ServedApplication] | None:
        """Return what Serve says, or None where it said nothing."""
        key = (namespace, pool)
        self._barred.pop(key, None)
        try:
            token = await self._token(key)
            if token is None:
                return None
            dashboard = self._dashboards.of(
                key,
                pod=PODS.ref(head.pod, namespace),
                address=head.address,
                port=DASHBOARD_PORT,
                serve_port=SERVE_PORT,
                token=token,
            )
            found = await dashboard.observe()
            # A head that was made anew has no application at all until KubeRay gives it its config
            # again. That says nothing of the models: their requests wait for it.
            return found if INDEX_APPLICATION in found else None
        except DashboardUnauthorized:
            # The Secret may have been made anew since it was read.
            self._tokens.pop(key, None)
            _LOG.warning("the dashboard of pool %s/%s refuses its token", namespace, pool)
        except DashboardForbidden as error:
            self._barred[key] = error.why
        except DashboardError as error:
            _LOG.debug("%s", error)
        except errors.ApiError as error:
            _LOG.warning("the token of pool %s/%s cannot be read: %s", namespace, pool, error)
        return None

    def barred(self, namespace: str, pool: str) -> str | None:
        """Return which right was missing when Serve was asked last; None: none was."""
        return self._barred.get((namespace, pool))

    def forget(self, namespace: str, pool: str) -> None:
        """Drop what is kept of a pool that is gone."""
        self._barred.pop((namespace, pool), None)
        self._tokens.pop((namespace, pool), None)
        self._dashboards.forget((namespace, pool))

    async def close(self) -> None:
        """Close the connections."""
        await self._dashboards.close()

    async def _token(self, key: ObjectKey) -> str | None:
        if key not in self._tokens:
            encoded = await self._writer.token(*key)
            if encoded is None:
                return None
            self._tokens[key] = base64.b64decode(encoded).decode()
        return self._tokens[key]
