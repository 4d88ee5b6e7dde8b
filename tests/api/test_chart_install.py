"""The chart on a real API server: installed, upgraded, removed, and never drifting."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from cluster.access import KubeAccess
from cluster.waiting import wait_until
from smallmodel_operator.clusters.api import Api
from smallmodel_operator.install.catalogue import apply_cards
from smallmodel_operator.install.uninstall import Installation, strip_finalizers
from smallmodel_operator.local.bundled import fetch_bundled_cards
from support.acting import acting_as
from tools import helm
from tools.kubernetes_cli import fetch_program

pytestmark = pytest.mark.api

ROOT: Final = Path(__file__).resolve().parents[2]
NAMESPACE: Final = "chart-checks"
FINALIZER: Final = "smallmodel.dev/placement"
ACCOUNT: Final = "smallmodel-operator"
ANYBODY: Final = "--as=somebody"


def run_helm(plane: KubeAccess, *words: str) -> str:
    ended = subprocess.run(
        [fetch_program("helm"), "--kubeconfig", plane.kubeconfig, "-n", NAMESPACE, *words],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def install(plane: KubeAccess, *words: str) -> str:
    """Install or upgrade; other tests may have applied the definitions without Helm."""
    return run_helm(
        plane, "upgrade", helm.RELEASE, str(helm.CHART), "--install", "--create-namespace",
        "--take-ownership", "--force-conflicts", *words,
    )  # fmt: skip


@pytest.fixture(scope="module")
def release(control_plane: KubeAccess) -> Iterator[KubeAccess]:
    """The chart, installed with its defaults; no pod runs, since there are no nodes."""
    install(control_plane)
    yield control_plane
    run_helm(control_plane, "uninstall", helm.RELEASE, "--no-hooks", "--ignore-not-found")
    for model in control_plane.get("-n", NAMESPACE, "smallmodels")["items"]:
        release_model(control_plane, model["metadata"]["name"])
    control_plane.kubectl("delete", "namespace", NAMESPACE, "--wait=false")


def release_model(plane: KubeAccess, name: str) -> None:
    """Delete a model whose finalizer nobody is there to take off."""
    patch = '{"metadata": {"finalizers": []}}'
    plane.kubectl("-n", NAMESPACE, "patch", "sm", name, "--type=merge", "-p", patch)
    plane.kubectl("-n", NAMESPACE, "delete", "sm", name, "--ignore-not-found")


def refusal(plane: KubeAccess, *words: str, stdin: str | None = None) -> str:
    ended = plane.try_kubectl(*words, stdin=stdin)
    assert ended.returncode != 0, ended.stdout
    return ended.stderr


def labelled_secret(name: str, **labels: str) -> str:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": labels}
    return json.dumps({"apiVersion": "v1", "kind": "Secret", "metadata": metadata})


def small_model(name: str = "chat") -> dict[str, Any]:
    return {
        "apiVersion": "smallmodel.dev/v1alpha1",
        "kind": "SmallModel",
        "metadata": {"name": name, "namespace": NAMESPACE, "finalizers": [FINALIZER]},
        "spec": {"model": "smollm2-135m-instruct"},
    }


def test_the_notes_say_that_kuberay_is_missing_and_the_install_goes_on(
    release: KubeAccess,
) -> None:
    notes = install(release)
    served = "ray.io/v1" in release.kubectl("api-versions")
    assert ("KubeRay is not installed yet" in notes) != served
    assert "STATUS: deployed" in notes


def test_a_second_upgrade_changes_nothing(release: KubeAccess) -> None:
    def versions() -> dict[str, str]:
        kinds = "deployments,services,serviceaccounts,roles,rolebindings,networkpolicies,pdb"
        found = release.get("-n", NAMESPACE, kinds)["items"]
        # The controllers write their status; the rest is Helm's alone.
        return {
            f"{one['kind']}/{one['metadata']['name']}": json.dumps(
                [one.get("spec"), one.get("rules"), one["metadata"].get("generation")],
                sort_keys=True,
            )
            for one in found
        }

    before = versions()
    assert len(before) > 10
    install(release)
    assert versions() == before


def test_rendered_objects_do_not_drift(release: KubeAccess) -> None:
    """What GitOps tools do every few minutes: compare, with nothing changed."""
    text = helm.render_text(["--no-hooks"], namespace=NAMESPACE)
    release.apply(text, "--force-conflicts")
    release.apply(text)
    ended = release.try_kubectl("diff", "--server-side", "-f", "-", stdin=text)
    assert (ended.returncode, ended.stdout) == (0, "")


def test_the_kustomize_base_does_not_drift(control_plane: KubeAccess) -> None:
    base = str(ROOT / "config" / "default")
    try:
        for _ in range(2):
            control_plane.kubectl("apply", "--server-side", "--force-conflicts", "-k", base)
        ended = control_plane.try_kubectl("diff", "--server-side", "-k", base)
        assert (ended.returncode, ended.stdout) == (0, "")
    finally:
        built = control_plane.kubectl("kustomize", base)
        kept = [
            one for one in yaml.safe_load_all(built) if one["kind"] != "CustomResourceDefinition"
        ]
        text = yaml.safe_dump_all(kept)
        control_plane.kubectl("delete", "--wait=false", "-f", "-", stdin=text)


def test_an_uninstall_keeps_models_their_definitions_and_the_gateway(
    release: KubeAccess,
) -> None:
    release.apply(json.dumps(small_model("kept")))
    told = run_helm(release, "uninstall", helm.RELEASE, "--no-hooks")
    try:
        assert "[Deployment] smallmodel-gateway" in told
        assert "[CustomResourceDefinition] smallmodels.smallmodel.dev" in told
        left = release.get("-n", NAMESPACE, "deployments")["items"]
        assert [one["metadata"]["name"] for one in left] == ["smallmodel-gateway"]
        assert release.get("-n", NAMESPACE, "smallmodel", "kept")["spec"]
    finally:
        # The same release takes it all over again.
        install(release)
        release_model(release, "kept")


async def test_the_operator_may_apply_the_catalogue(release: KubeAccess, tmp_path: Path) -> None:
    cards = fetch_bundled_cards().cards
    async with await Api.connect(acting_as(release, NAMESPACE, ACCOUNT, tmp_path)) as api:
        assert await apply_cards(api, cards) == ()
        release.kubectl(
            "patch", "modelcard", cards[0].metadata.name, "--type=merge",
            "-p", '{"spec": {"contextLength": 256}}',
        )  # fmt: skip
        assert await apply_cards(api, cards) == (cards[0].metadata.name,)
    found = release.get("modelcard", cards[0].metadata.name)
    assert found["spec"]["contextLength"] == 256
    release.kubectl("delete", "modelcards", "--all")


async def test_the_uninstall_hook_may_take_finalizers_off(
    release: KubeAccess, tmp_path: Path
) -> None:
    hooks = helm.render(["--show-only", "templates/hooks/uninstall.yaml"], namespace=NAMESPACE)
    accounts = [hook for hook in hooks if hook["kind"] != "Job"]
    text = yaml.safe_dump_all(accounts)
    release.apply(text)
    release.apply(json.dumps(small_model()))
    kubeconfig = acting_as(release, NAMESPACE, "smallmodel-operator-uninstall", tmp_path)
    installation = Installation(
        namespace=NAMESPACE, deployment=ACCOUNT, watched=frozenset({NAMESPACE})
    )
    try:
        async with await Api.connect(kubeconfig) as api:
            assert await strip_finalizers(api, installation) == 1
        found = release.get("-n", NAMESPACE, "smallmodel", "chat")["metadata"]
        assert found.get("finalizers", []) == []
        release.kubectl("-n", NAMESPACE, "delete", "smallmodel", "chat", "--timeout=10s")
    finally:
        release.kubectl("delete", "-f", "-", stdin=text)


def test_the_api_server_refuses_what_rbac_cannot(release: KubeAccess) -> None:
    operator = f"--as=system:serviceaccount:{NAMESPACE}:{ACCOUNT}"
    create = (operator, "create", "-f", "-")
    ours = labelled_secret("ours", **{"app.kubernetes.io/managed-by": "smallmodel-operator"})
    release.kubectl(*create, stdin=ours)
    foreign = labelled_secret("foreign")
    assert "only Secrets with the label" in refusal(release, *create, stdin=foreign)
    release.apply(foreign)
    secret = ("-n", NAMESPACE, "delete", "secret")
    assert "only Secrets with the label" in refusal(release, operator, *secret, "foreign")
    release.kubectl(operator, *secret, "ours")
    release.kubectl(*secret, "foreign")
    assert "slm-cluster-" in refusal(release, operator, "create", "namespace", "strange")

    model = small_model()
    release.apply(json.dumps(model))
    # `kubectl patch` would read it first, which the operator need not.
    apply = (operator, "apply", "--server-side", "-f", "-")
    changed = model | {"spec": model["spec"] | {"contextLength": 2048}}
    assert "never writes the spec" in refusal(release, *apply, stdin=json.dumps(changed))
    freed = model | {"metadata": {"name": "chat", "namespace": NAMESPACE}}
    release.kubectl(*apply, stdin=json.dumps(freed))
    release.kubectl("-n", NAMESPACE, "delete", "smallmodel", "chat")


@pytest.mark.parametrize(
    ("role", "verb", "resource", "answer"),
    [
        ("view", "get", "smallmodels.smallmodel.dev", "yes"),
        ("view", "create", "smallmodels.smallmodel.dev", "no"),
        ("edit", "create", "smallmodels.smallmodel.dev", "yes"),
        ("edit", "get", "modelplacements.smallmodel.dev", "yes"),
        ("edit", "patch", "modelplacements.smallmodel.dev", "no"),
        ("admin", "delete", "smallmodels.smallmodel.dev", "yes"),
        ("admin", "delete", "modelplacements.smallmodel.dev", "no"),
        ("admin", "patch", "smallmodels.smallmodel.dev --subresource=status", "no"),
    ],
)
def test_people_may(release: KubeAccess, role: str, verb: str, resource: str, answer: str) -> None:
    binding = ("-n", NAMESPACE, "create", "rolebinding", f"as-{role}")
    release.try_kubectl(*binding, f"--clusterrole={role}", "--user=somebody")
    try:
        # The cluster's roles are put together by a controller.
        wait_until(
            lambda: "smallmodel.dev" in json.dumps(release.get("clusterrole", role)["rules"]),
            f"the role {role} has our rules",
            within=20,
        )
        said = release.try_kubectl(
            "-n", NAMESPACE, "auth", "can-i", verb, *resource.split(), ANYBODY
        )
        assert said.stdout.strip() == answer
    finally:
        release.kubectl("-n", NAMESPACE, "delete", "rolebinding", f"as-{role}")
