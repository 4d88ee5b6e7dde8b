"""What tests of verifying requests ask of a fake namespace again and again."""

from builders.fake_namespace import FakeNamespace
from builders.plan_values import model_args
from smallmodel_operator.api.modelplacement import ModelPlacementStatus, Quarantine
from smallmodel_operator.api.serving import LlamaCppArgs

OTHER_ARGS = {"engine": LlamaCppArgs(context_length=4096, slots=4)}


def status(fake: FakeNamespace, name: str = "chat") -> ModelPlacementStatus:
    """What is known of a model."""
    return fake.placements[name].status


def held(fake: FakeNamespace, name: str = "chat") -> Quarantine:
    """The quarantine that a model is in."""
    found = status(fake, name).quarantine
    assert found is not None
    return found


def until_quarantined(fake: FakeNamespace, name: str = "chat") -> Quarantine:
    """Let the world and the operator take turns until a model is in another quarantine."""
    before = status(fake, name).quarantine
    for _ in range(12):
        fake.work()
        if status(fake, name).quarantine not in (None, before):
            return held(fake, name)
        fake.world()
        fake.pass_time(1)
    raise AssertionError(f"{name} never was in quarantine: {status(fake, name)}")


def edited(fake: FakeNamespace, name: str = "chat") -> None:
    """A change of what is served."""
    fake.place(name, args=model_args(name, weights="", **OTHER_ARGS))
