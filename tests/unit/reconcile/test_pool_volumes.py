"""Models whose replicas fetch for themselves, and the way to such pools from those with a claim."""

from dataclasses import replace

from builders.fake_namespace import FakeNamespace, is_verified, served_by
from builders.pool_values import WITHOUT_CLAIMS, weights
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.api.smallmodel import SecretRef
from smallmodel_operator.plan.pools.values import WeightsVolume


def sources(fake: FakeNamespace, pool: str) -> dict[str, str | None]:
    """Where each model of a pool is fetched from by its replicas."""
    return {
        name: (each["args"].get("source") or {}).get("uri")
        for name, each in fake.config(pool).items()
    }


def test_replicas_are_told_where_to_fetch_from_once_the_job_has_checked_it() -> None:
    fake = served_by("chat", weights=WITHOUT_CLAIMS)

    assert sources(fake, fake.pool) == {"chat": weights().uri}
    assert not fake.jobs


def test_with_a_claim_they_are_told_nothing() -> None:
    fake = served_by("chat")

    assert sources(fake, fake.pool) == {"chat": None}


def test_another_kind_of_volume_moves_models_to_another_pool_and_restarts_none() -> None:
    fake = served_by("chat", "embed")
    old = fake.pool
    before = fake.config(old)

    for kind, uri in ((WITHOUT_CLAIMS, weights().uri), (WeightsVolume(), None)):
        fake.settings = replace(fake.settings, weights=kind)
        fake.work()
        assert fake.config(old) == before, "what runs is left as it is"
        fake.settle(passes=60)

        assert old not in fake.services
        old = fake.pool
        before = fake.config(old)
        assert sources(fake, old) == {"chat": uri, "embed": uri}
        assert all(is_verified(fake, name) for name in ("chat", "embed"))


def test_a_model_behind_a_secret_goes_on_in_its_pool_and_says_why_it_stays() -> None:
    fake = FakeNamespace().place("gated", weights=weights(secret_ref=SecretRef(name="hub")))
    fake.place("chat").settle(passes=14)
    old = fake.pool
    before = fake.config(old)["gated"]

    fake.settings = replace(fake.settings, weights=WITHOUT_CLAIMS)
    fake.settle(passes=60)

    assert fake.config(old) == {"gated": before}
    [new] = fake.services.keys() - {old}
    assert fake.models_of(new) == {"chat"}
    status = fake.placements["gated"].status
    assert (status.pool, status.moving_to) == (old, None)
    [deployed] = (each for each in status.conditions if each.type == "Deployed")
    assert deployed.reason == Reason.SOURCE_NOT_SUPPORTED
