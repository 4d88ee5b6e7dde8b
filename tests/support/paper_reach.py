"""The way to heads that are on paper: asked for at a real API server, which has no kubelet."""

import contextlib

from smallmodel_operator.clusters import errors
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.clusters.forward import open_stream
from smallmodel_operator.clusters.reach import DirectReach, NoWay
from smallmodel_operator.clusters.ref import Ref


class PaperReach(DirectReach):
    """Goes to the address of a head, if the API server would have let its port be forwarded.

    It says that by having no such pod: who lacks the right is refused before.
    """

    def __init__(self, api: Api) -> None:
        self._api = api

    async def base(self, pod: Ref, address: str, port: int) -> str:
        """Return the URL of the head's address.

        Raises:
            NoWay: The API server refused.
        """
        try:
            with contextlib.suppress(errors.NotFound):
                await open_stream(self._api, pod, port)
        except errors.ApiError as error:
            raise NoWay(str(error)) from error
        return await super().base(pod, address, port)
