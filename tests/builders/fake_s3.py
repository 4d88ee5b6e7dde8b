"""A fake of S3 over HTTP: what it answers to HEAD of a bucket, to somebody without credentials."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from builders.fake_kube_api import Reply, serving

HEADER = "x-amz-bucket-region"


@dataclass
class FakeS3:
    """Buckets of somebody, whose names tell their region and whose content nobody may read."""

    url: str = ""
    regions: dict[str, str] = field(default_factory=dict)
    """By bucket."""
    status: int = 403
    """Of a bucket that is there."""
    replies: list[Reply] = field(default_factory=list)
    """Answers in place of its own, the first one first."""
    seen: list[web.BaseRequest] = field(default_factory=list)

    @property
    def asked(self) -> list[tuple[str, str]]:
        """Method and target of each request, as they came."""
        return [(one.method, one.raw_path) for one in self.seen]

    async def dispatch(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        self.seen.append(request)
        given = self.replies.pop(0)(request) if self.replies else None
        if given is not None:
            return given
        region = self.regions.get(request.path.removeprefix("/"))
        if region is None:
            return web.Response(status=404)
        return web.Response(status=self.status, headers={HEADER: region})


@asynccontextmanager
async def fake_s3() -> AsyncIterator[FakeS3]:
    """Run a fake S3."""
    fake = FakeS3()
    async with serving(lambda request: fake.dispatch(request)) as url:
        fake.url = url
        yield fake
