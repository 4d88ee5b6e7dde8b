"""The kustomize bases, made from the chart, so that the two ways to install cannot drift apart."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from smallmodel_operator.api import crd
from smallmodel_operator.cli.output import yaml_text
from smallmodel_operator.plan.members import member_manifests
from tools import helm
from tools.helm import Manifest

_GENERATED: Final = "# Written by `make generate` from charts/smallmodel-operator.\n"
_GENERATED_BY_CODE: Final = (
    "# Written by `make generate` from plan/members.py: a hub's account in another cluster.\n"
)
_FILES: Final = {
    "rbac.yaml": ("ServiceAccount", "ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"),
    "admission.yaml": ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"),
    "network.yaml": ("NetworkPolicy",),
    "workloads.yaml": ("Deployment", "Service", "PodDisruptionBudget"),
}
"""The kinds of each file of the base; the definitions are those of `crds/`."""
_HELMS_OWN: Final = frozenset({"app.kubernetes.io/managed-by", "helm.sh/chart"})


def kustomize_files() -> Iterator[tuple[str, str]]:
    """Yield the path of each file of the bases, and its text.

    Raises:
        ProgramUnavailable: Helm is not to be had.
        RenderFailed: The chart is wrong.
        ValueError: The chart has an object of a kind that no file takes.
    """
    names = [f"{kind.crd_name}.yaml" for kind in crd.KINDS]
    yield "crds/kustomization.yaml", _kustomization(sorted(names))
    rendered = [one for one in helm.render() if one["kind"] != "CustomResourceDefinition"]
    found = [_without_helm(one) for one in rendered if not helm.has_hook(one)]
    known = {kind for kinds in _FILES.values() for kind in kinds}
    if strange := sorted({one["kind"] for one in found} - known):
        raise ValueError(f"no file of config/default takes {strange}; add them to {__name__}")
    for name, kinds in _FILES.items():
        yield f"config/default/{name}", _documents([one for one in found if one["kind"] in kinds])
    yield "config/default/namespace.yaml", _documents([_namespace()])
    yield (
        "config/default/kustomization.yaml",
        _kustomization(["../../crds", "namespace.yaml", *_FILES]),
    )
    account = [dict(one) for one in member_manifests(helm.NAMESPACE)]
    yield "config/member/account.yaml", _GENERATED_BY_CODE + _joined(account)
    yield "config/member/kustomization.yaml", _kustomization(["account.yaml"])
    hooks = helm.render(["--show-only", "templates/hooks/uninstall.yaml"])
    yield "config/uninstall/job.yaml", _documents([_without_helm(hook) for hook in hooks])
    yield "config/uninstall/kustomization.yaml", _kustomization(["job.yaml"])


def _kustomization(resources: Sequence[str]) -> str:
    head: Manifest = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
    return _documents([head | {"resources": list(resources)}])


def _namespace() -> Manifest:
    labels = {
        "app.kubernetes.io/part-of": "smallmodel",
        "pod-security.kubernetes.io/enforce": "restricted",
    }
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": helm.NAMESPACE, "labels": labels},
    }


def _documents(manifests: Sequence[Manifest]) -> str:
    return _GENERATED + _joined(manifests)


def _joined(manifests: Sequence[Manifest]) -> str:
    return "---\n".join(f"{yaml_text(one)}\n" for one in manifests)


def _without_helm(node: Any) -> Any:  # any node of YAML
    """Return an object without the labels and annotations that mean something to Helm alone."""
    if isinstance(node, list):
        return [_without_helm(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: _without_helm(value) for key, value in node.items()}
    for field in ("labels", "annotations"):
        if isinstance(made.get(field), dict):
            kept = {key: text for key, text in made[field].items() if not _is_helms(key)}
            made[field] = kept
            if not kept:
                del made[field]
    return made


def _is_helms(key: str) -> bool:
    return key in _HELMS_OWN or key.startswith("helm.sh/")
