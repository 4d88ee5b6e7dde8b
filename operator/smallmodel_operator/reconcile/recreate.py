"""Outdated pools that end at once, where there is no room for new ones beside them."""

from collections.abc import Iterable
from dataclasses import replace

from smallmodel_operator.plan.pools.assign import is_current
from smallmodel_operator.plan.pools.template import refusal
from smallmodel_operator.plan.pools.values import LivePool, PoolSettings, UpgradePolicy
from smallmodel_operator.reconcile.case import Stuck
from smallmodel_operator.reconcile.sight import NamespaceSight


def without_outdated(
    sight: NamespaceSight, stuck: Iterable[Stuck], settings: PoolSettings
) -> NamespaceSight:
    """Return the sight as if the outdated pools were gone, which is what makes them go.

    Their models are then new to their namespace, and get pools of today's template. A pool stays
    that serves a model of which nothing can be decided.

    Args:
        sight: Everything that is known of the namespace.
        stuck: Placements whose pools are left as they are.
        settings: The installation's choices.
    """
    if settings.upgrade_policy is not UpgradePolicy.RECREATE:
        return sight
    untouched = {name for each in stuck for name in each.pools}

    def ends(pool: LivePool) -> bool:
        if pool.name in untouched or pool.models & sight.unread:
            return False
        return refusal(pool.key, settings) is None and not is_current(pool, settings)

    kept = tuple(pool for pool in sight.pools if not ends(pool.live))
    return sight if len(kept) == len(sight.pools) else replace(sight, pools=kept)
