"""Images that cannot be pulled: what is said, what goes on, and how it heals."""

from dataclasses import replace

import pytest

from builders.fake_namespace import NOT_FOUND, FakeNamespace, is_verified, served_by
from smallmodel_operator.api.fetch import FetchFailed
from smallmodel_operator.api.modelplacement import Problem
from smallmodel_operator.api.reasons import Reason
from smallmodel_operator.reconcile.images import pull_failure
from smallmodel_operator.reconcile.sight import UnpulledImage

MISSING = "registry.example/serving-cpu:missing"
OTHER = "registry.example/serving-cpu:2"


def without_image(fake: FakeNamespace) -> str:
    """The installation has an image that nobody can pull; the good one is returned."""
    good = fake.settings.cpu_image
    fake.missing.add(MISSING)
    fake.settings = replace(fake.settings, cpu_image=MISSING)
    return good


def problem(fake: FakeNamespace, name: str = "chat") -> Problem:
    found = fake.placements[name].status.problem
    assert found is not None
    return found


def test_the_message_has_the_image_the_words_and_what_to_do() -> None:
    said = pull_failure(UnpulledImage(image="x:1", message=NOT_FOUND), "the pool p")

    assert said.startswith("The image x:1 of the pool p cannot be pulled (not found). Correct it")


def test_however_much_the_registry_says_what_to_do_is_said() -> None:
    said = pull_failure(
        UnpulledImage(image="x" * 255, message="no " * 1000), "the pool " + "p" * 63
    )

    assert len(said) <= 1024
    assert said.endswith("goes on by itself.")


def test_a_model_whose_new_pool_cannot_start_goes_on_in_the_old_one() -> None:
    fake = served_by("chat", "embed")
    old = fake.pool
    good = without_image(fake)

    fake.settle(passes=4)

    (new,) = fake.services.keys() - {old}
    assert problem(fake).reason is Reason.IMAGE_PULL_FAILED
    assert MISSING in problem(fake).message
    assert new in problem(fake).message
    assert problem(fake, "embed").reason is Reason.UPGRADE_WAITING
    assert fake.models_of(old) == {"chat", "embed"}
    assert fake.placements["chat"].status.pool == old

    fake.settings = replace(fake.settings, cpu_image=good)
    fake.settle(passes=3)
    assert set(fake.services) == {old}
    assert fake.placements["chat"].status.problem is None
    assert is_verified(fake, "chat")


def test_a_correction_to_a_third_image_moves_all_there() -> None:
    fake = served_by("chat", "embed")
    old = fake.pool
    without_image(fake)
    fake.settle(passes=4)
    bad = set(fake.services) - {old}

    fake.settings = replace(fake.settings, cpu_image=OTHER)
    fake.settle(passes=20, seconds=20)

    assert not set(fake.services) & {old, *bad}
    assert fake.models_of(fake.pool) == {"chat", "embed"}
    assert is_verified(fake, "chat")
    assert is_verified(fake, "embed")


@pytest.mark.parametrize("corrected", [True, False])
def test_a_first_model_says_it_of_its_fetch_too_and_heals(corrected: bool) -> None:
    fake = FakeNamespace()
    good = without_image(fake)
    fake.place("chat")
    fake.settle(passes=3)

    failed = fake.placements["chat"].status.fetch
    assert isinstance(failed, FetchFailed)
    assert failed.reason is Reason.IMAGE_PULL_FAILED
    assert MISSING in failed.message
    assert not fake.decide().delete, "the same Job would only fail again"

    if corrected:
        fake.settings = replace(fake.settings, cpu_image=good)
    else:
        # Somebody pushed it.
        fake.missing.clear()
    fake.settle(passes=20, seconds=20)
    assert is_verified(fake, "chat")
    assert fake.models_of(fake.pool) == {"chat"}
