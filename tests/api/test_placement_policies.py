"""What the API server itself refuses of placements, whoever writes them and whatever they may.

Everybody here is an administrator to RBAC, so that only the chart's policies are left.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
import yaml

from builders.admission import model_cluster
from builders.placements import model_placement, placement_spec
from cluster.access import KubeAccess
from cluster.waiting import wait_until
from smallmodel_operator.api.modelplacement import PlacementResidency
from smallmodel_operator.api.names import placement_namespace
from smallmodel_operator.plan.placements import placement_manifest
from tools import helm

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("crds")]

SYSTEM: Final = "policy-checks"
OPERATOR: Final = f"system:serviceaccount:{SYSTEM}:smallmodel-operator"
HUB: Final = f"system:serviceaccount:{SYSTEM}:smallmodel-hub"
SOMEBODY: Final = "somebody"
CLUSTERS: Final = {"germany": "DE", "america": "US", "nowhere": None}
_WITHIN: Final = 30.0

Manifest = dict[str, Any]
Try = Callable[[Manifest, str], str]


def placement(
    cluster: str, *jurisdictions: str, namespace: str | None = None, **metadata: object
) -> Manifest:
    """A placement on a cluster, bound by a law where countries are given."""
    law = PlacementResidency(jurisdictions=jurisdictions) if jurisdictions else None
    spec = placement_spec(cluster=cluster, residency=law)
    made = placement_manifest(model_placement(spec=spec))
    where = {"namespace": namespace or placement_namespace(cluster)}
    return made | {"metadata": made["metadata"] | where | metadata}


@pytest.fixture(scope="module")
def guarded(control_plane: KubeAccess, crds: None) -> Iterator[KubeAccess]:
    """The chart's policies, and people who may do everything else."""
    del crds
    policies = helm.render(["--show-only=templates/rbac/admission.yaml"], namespace=SYSTEM)
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": SYSTEM},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": "cluster-admin",
        },
        "subjects": [
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": name}
            for name in (OPERATOR, HUB, SOMEBODY)
        ],
    }
    names = [SYSTEM, *map(placement_namespace, CLUSTERS)]
    namespaces = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}} for name in names
    ]
    clusters = [
        model_cluster(name, **({"jurisdiction": country} if country else {}))
        for name, country in CLUSTERS.items()
    ]
    text = yaml.safe_dump_all([binding, *namespaces, *clusters])
    control_plane.apply(text)
    try:
        control_plane.apply(yaml.safe_dump_all(policies))
        _until_guarded(control_plane)
        yield control_plane
    finally:
        # The policies go first: they would have a say on what is taken away.
        for each in (yaml.safe_dump_all(policies), text):
            control_plane.kubectl(
                "delete", "--wait=false", "--ignore-not-found", "-f", "-", stdin=each
            )


def _until_guarded(plane: KubeAccess) -> None:
    """Return once both policies have a say: the API server takes a moment to learn of them."""

    def refused(who: str, given: Manifest, words: str) -> bool:
        return words in offer(plane, who, given)

    wait_until(
        lambda: (
            refused(SOMEBODY, placement("germany"), "by the operator alone")
            and refused(OPERATOR, placement("germany", "FR"), "law of the data")
        ),
        "the policies are in force",
        within=_WITHIN,
    )


def offer(plane: KubeAccess, who: str, given: Manifest) -> str:
    """What the API server says against an object of somebody's; nothing where it takes it."""
    words = (f"--as={who}", "create", "--dry-run=server", "-f", "-")
    ended = plane.try_kubectl(*words, stdin=json.dumps(given))
    return "" if ended.returncode == 0 else ended.stderr


TAKEN: Final = {
    "the operator's, without a law": (OPERATOR, placement("germany")),
    "the operator's, inside the law": (OPERATOR, placement("germany", "DE", "FR")),
    "without a law, in a cluster of no known country": (OPERATOR, placement("nowhere")),
    "a hub's, beside the operator": (HUB, placement("edge", "DE", namespace=SYSTEM)),
}


@pytest.mark.parametrize("case", TAKEN)
def test_a_placement_is_taken(guarded: KubeAccess, case: str) -> None:
    who, given = TAKEN[case]
    assert offer(guarded, who, given) == ""


REFUSED: Final = {
    "an administrator's": (SOMEBODY, placement("germany"), "written by the operator alone"),
    "an administrator's beside the operator": (
        SOMEBODY,
        placement("edge", namespace=SYSTEM),
        "written by the operator alone",
    ),
    "a hub's where only the operator decides": (
        HUB,
        placement("germany"),
        "written by the operator alone",
    ),
    "one cluster's in the namespace of another": (
        OPERATOR,
        placement("america", namespace=placement_namespace("germany")),
        "slm-cluster-CLUSTER",
    ),
    "outside the law": (
        OPERATOR,
        placement("america", "DE", "FR"),
        "the law of the data allows DE, FR, and ModelCluster america is in US",
    ),
    "under a law, in a cluster of no known country": (
        OPERATOR,
        placement("nowhere", "DE"),
        "ModelCluster nowhere is in no known jurisdiction",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_placement_is_refused(guarded: KubeAccess, case: str) -> None:
    who, given, words = REFUSED[case]
    assert words in offer(guarded, who, given)


@pytest.fixture
def placed(guarded: KubeAccess) -> Iterator[Manifest]:
    """A placement of the operator's that is there, bound to Germany."""
    given = placement("germany", "DE")
    guarded.kubectl(f"--as={OPERATOR}", "create", "-f", "-", stdin=json.dumps(given))
    yield given
    ref = _words(given)
    freed = '{"metadata": {"finalizers": []}}'
    guarded.try_kubectl("patch", *ref, "--type=merge", "-p", freed)
    guarded.kubectl("delete", "--ignore-not-found", "--timeout=20s", *ref)


def _words(given: Manifest) -> tuple[str, ...]:
    metadata = given["metadata"]
    return ("-n", metadata["namespace"], "modelplacement", metadata["name"])


def _patched(plane: KubeAccess, who: str, given: Manifest, patch: Manifest, *more: str) -> str:
    words = (f"--as={who}", "patch", *_words(given), "--type=merge", "-p", json.dumps(patch))
    ended = plane.try_kubectl(*words, *more)
    return "" if ended.returncode == 0 else ended.stderr


def test_nobody_else_changes_what_was_decided(guarded: KubeAccess, placed: Manifest) -> None:
    changed = {"spec": {"message": "mine"}}
    said = _patched(guarded, SOMEBODY, placed, changed)
    assert "written by the operator alone" in said
    assert _patched(guarded, OPERATOR, placed, changed) == ""
    widened = {"spec": {"residency": {"jurisdictions": ["DE", "US"]}}}
    assert "written by the operator alone" in _patched(guarded, SOMEBODY, placed, widened)


def test_the_operator_itself_moves_nothing_out_of_the_law(
    guarded: KubeAccess, placed: Manifest
) -> None:
    narrowed = {"spec": {"residency": {"jurisdictions": ["FR"]}}}
    assert "ModelCluster germany is in DE" in _patched(guarded, OPERATOR, placed, narrowed)


def test_a_finalizer_and_a_status_are_nobodys_decision(
    guarded: KubeAccess, placed: Manifest
) -> None:
    status = {"status": {"observedGeneration": 1}}
    assert _patched(guarded, SOMEBODY, placed, status, "--subresource=status") == ""
    freed: Manifest = {"metadata": {"finalizers": []}}
    assert _patched(guarded, SOMEBODY, placed, freed) == ""


def test_the_administrators_word_on_a_cluster_counts_from_then_on(
    guarded: KubeAccess, placed: Manifest
) -> None:
    again = {"spec": {"message": "written again"}}

    def declare(country: str) -> None:
        patch = json.dumps({"spec": {"jurisdiction": country}})
        guarded.kubectl("patch", "modelcluster", "germany", "--type=merge", "-p", patch)

    declare("CH")
    try:
        wait_until(
            lambda: "germany is in CH" in offer(guarded, OPERATOR, placement("germany", "DE")),
            "the API server has learnt it",
            within=_WITHIN,
        )
        assert "germany is in CH" in _patched(guarded, OPERATOR, placed, again)
        # What the new word forbids can still be taken down.
        freed: Manifest = {"metadata": {"finalizers": []}}
        assert _patched(guarded, OPERATOR, placed, freed) == ""
    finally:
        declare("DE")
        wait_until(
            lambda: offer(guarded, OPERATOR, placement("germany", "DE", name="another")) == "",
            "the API server has learnt it again",
            within=_WITHIN,
        )
