"""Pools that no node has room for: what is said, what goes on, and how it heals."""

from dataclasses import replace

from builders.fake_namespace import FakeNamespace, is_verified, served_by
from smallmodel_operator.api.reasons import Reason

WORDS = "0/1 nodes are available: 1 Insufficient cpu."


def said_of(fake: FakeNamespace, name: str) -> str:
    problem = fake.placements[name].status.problem
    assert problem is not None
    assert problem.reason is Reason.POOL_STARTING
    return problem.message


def test_the_first_model_of_a_pool_without_room_says_what_the_scheduler_says() -> None:
    fake = FakeNamespace(full=WORDS).place("chat")

    fake.settle(passes=4)

    assert f"the scheduler says: {WORDS} Add a node" in said_of(fake, "chat")
    assert fake.pool in said_of(fake, "chat")

    fake.full = None
    fake.settle()
    assert is_verified(fake, "chat")
    assert fake.placements["chat"].status.problem is None


def test_a_model_on_its_way_to_a_pool_without_room_says_so_and_is_served_meanwhile() -> None:
    fake = served_by("chat")
    old = fake.pool
    fake.settings = replace(fake.settings, cpu_image="registry.example/serving-cpu:2")
    fake.full = WORDS

    fake.settle(passes=4)

    assert WORDS in said_of(fake, "chat")
    status = fake.placements["chat"].status
    assert status.pool == old
    assert status.deployment is not None
    assert status.deployment.healthy

    fake.full = None
    fake.settle(passes=40, seconds=2)
    assert fake.pool != old


def test_however_much_the_scheduler_says_what_to_do_is_said() -> None:
    fake = FakeNamespace(full="1 node(s) had untolerated taint {a: b}, " * 100).place("chat")

    fake.settle(passes=4)

    assert len(said_of(fake, "chat")) <= 1024
    assert said_of(fake, "chat").endswith("goes on by itself.")
