"""The text of files that are carried: whoever changed it, or brought another's, is found out."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builders.bundles import (
    DAMAGED,
    WRONG_WITHIN,
    Change,
    decided,
    manifest_of,
    signed_anew,
    with_values,
)
from smallmodel_operator.api.bundle import BundleKind, PlacementBundle, StatusBundle
from smallmodel_operator.api.modelcluster import ModelClusterStatus
from smallmodel_operator.clusters.signing import SigningKey, is_signed
from smallmodel_operator.reconcile.bundle import (
    BundleError,
    Damaged,
    Unfit,
    build_text,
    check_head,
    next_serial,
    not_signed,
    portable,
    read_content,
    read_envelope,
    seal,
)

KEY = SigningKey.make()
NOW = "2026-11-29T12:00:00Z"
HEAD: dict[str, Any] = {
    "hub_id": "hub-1",
    "cluster": "edge",
    "cluster_uid": "uid-edge",
    "contract": 1,
    "serial": 7,
    "exported_at": NOW,
}


def written(*names: str) -> str:
    """Return the hub's file with these models."""
    placements = [portable(manifest_of(decided(name)), with_status=False) for name in names]
    return sealed(PlacementBundle(**HEAD, placements=tuple(placements)))


def sealed(bundle: PlacementBundle | StatusBundle) -> str:
    text = build_text(bundle)
    return seal(text, KEY.sign(text.encode()))


def taken(file: str | bytes) -> PlacementBundle:
    """Do what whoever imports it does."""
    envelope = read_envelope(file.encode() if isinstance(file, str) else file)
    check_head(envelope.head, hub_id="hub-1", cluster="edge", cluster_uid="uid-edge")
    if not is_signed(KEY.public, envelope.signed, envelope.signature):
        raise not_signed(envelope.head)
    return read_content(envelope, PlacementBundle)


def test_a_file_is_read_as_it_was_written() -> None:
    bundle = taken(written("chat", "other"))
    assert [one["spec"]["model"]["name"] for one in bundle.placements] == ["chat", "other"]
    assert (bundle.kind, bundle.serial, bundle.exported_at) == (BundleKind.PLACEMENTS, 7, NOW)
    assert written("chat").splitlines()[0] == "smallmodel.dev/bundle 1"


@pytest.mark.parametrize(("damage", "words"), DAMAGED.values(), ids=DAMAGED)
def test_what_was_not_written_so_is_refused(damage: Callable[[str], str], words: str) -> None:
    with pytest.raises(Damaged, match=words):
        taken(damage(written("chat")))


@given(st.data())
def test_no_byte_can_be_changed(data: st.DataObject) -> None:
    content = written("chat").encode()
    at = data.draw(st.integers(0, len(content) - 1))
    other = data.draw(st.integers(0, 255).filter(lambda byte: byte != content[at]))
    changed = content[:at] + bytes([other]) + content[at + 1 :]
    with pytest.raises(BundleError):
        taken(changed)


@pytest.mark.parametrize(("change", "error", "words"), WRONG_WITHIN.values(), ids=WRONG_WITHIN)
def test_what_is_signed_is_not_taken_for_that(
    change: Change, error: type[BundleError], words: str
) -> None:
    with pytest.raises(error) as raised:
        taken(signed_anew(written("chat"), KEY, change))
    assert words in str(raised.value)


def test_a_later_format_is_not_read() -> None:
    with pytest.raises(Unfit, match="reads format 1"):
        read_envelope(written("chat").replace(" 1\n", " 2\n", 1).encode())


def test_a_document_of_one_line_is_none() -> None:
    text = "smallmodel.dev/bundle 1"
    with pytest.raises(Damaged, match="cannot be read"):
        read_envelope(seal(text, KEY.sign(text.encode())).encode())


def test_a_cluster_that_is_not_known_yet_may_be_any() -> None:
    head = read_envelope(written().encode()).head
    check_head(head, hub_id="hub-1", cluster="edge", cluster_uid=None)


def test_fields_of_a_later_version_are_left_out() -> None:
    assert taken(signed_anew(written("chat"), KEY, with_values(later=1))).serial == 7


def test_mirrors_come_from_whichever_namespace_they_lie_in() -> None:
    mirror = portable(manifest_of(decided()), with_status=True)
    mirror["metadata"]["namespace"] = "smallmodel-system"
    bundle = StatusBundle(**HEAD, status=ModelClusterStatus(), mirrors=(mirror,))
    envelope = read_envelope(sealed(bundle).encode())

    assert read_content(envelope, StatusBundle).mirrors == (mirror,)
    assert "of the cluster of ModelCluster edge" in str(not_signed(envelope.head))


def test_what_is_carried_is_what_the_other_side_reads() -> None:
    manifest = manifest_of(decided())
    manifest["metadata"] |= {
        "managedFields": [{"manager": "kubectl"}],
        "annotations": {"smallmodel.dev/origin": "uid", "another/one": "secret"},
    }
    carried = portable(manifest, with_status=True)
    assert carried["metadata"]["annotations"] == {"smallmodel.dev/origin": "uid"}
    assert "managedFields" not in carried["metadata"]
    assert carried["status"] == manifest["status"]
    assert "status" not in portable(manifest, with_status=False)
    del manifest["status"]
    assert "status" not in portable(manifest, with_status=True)


@pytest.mark.parametrize(
    ("last", "now", "serial"),
    [
        (0, "1970-01-01T00:01:40Z", 100),
        (99, "1970-01-01T00:01:40Z", 100),
        (100, "1970-01-01T00:01:40Z", 101),
        (5000, "1970-01-01T00:01:40Z", 5001),
    ],
    ids=["the first", "later", "in the same second", "after the clock was set back"],
)
def test_serials_grow_whatever_the_clock_says(last: int, now: str, serial: int) -> None:
    assert next_serial(last, now) == serial
