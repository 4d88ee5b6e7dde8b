"""Volumes of the user's own from which weights are served: `pvc://<claim>/<path>`.

They are read in place, so the fetch Job and the serving pods mount them at the same path.
"""

import re
from typing import Final

from smallmodel_operator.api.fetch import CLAIMS_FOLDER
from smallmodel_operator.plan.pools.values import Manifest

# https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names
_SOURCE: Final = re.compile(r"pvc://(?P<claim>[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?)/.+")
_VOLUME: Final = "source"


def source_claim(uri: str) -> str | None:
    """Return the name of the PersistentVolumeClaim that weights lie in, if they lie in one.

    A name that no claim can have is none: the fetch says what is wrong with it.
    """
    match = _SOURCE.fullmatch(uri)
    return match["claim"] if match else None


def claim_volumes(claim: str | None) -> list[Manifest]:
    """Return the volume of a source's claim; none where there is no claim."""
    if claim is None:
        return []
    return [
        {"name": _VOLUME, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}},
    ]


def claim_mounts(claim: str | None) -> list[Manifest]:
    """Return where a source's claim is mounted; nowhere where there is no claim."""
    if claim is None:
        return []
    return [{"name": _VOLUME, "mountPath": f"{CLAIMS_FOLDER}/{claim}", "readOnly": True}]
