"""`slm doctor` on a cluster: is it fit to serve models, and what is to be done?"""

from typing import TYPE_CHECKING

from smallmodel_operator.cli.cluster.options import (
    Access,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
)
from smallmodel_operator.cli.cluster.session import Session, ask
from smallmodel_operator.cli.output import Format, OutputOption

if TYPE_CHECKING:
    from smallmodel_operator.cli.findings import Finding


def doctor(
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Check a cluster: CRDs, KubeRay, permissions, operator, gateway, catalogue, room, volume."""
    from smallmodel_operator.cli.findings import print_findings

    access = Access(context=context, kubeconfig=kubeconfig, namespace=namespace)

    async def work(session: Session) -> "list[Finding]":
        from smallmodel_operator.cli.cluster.checks import CHECKS
        from smallmodel_operator.cli.cluster.examined import examine

        examined = await examine(session)
        return [finding for check in CHECKS async for finding in check(examined)]

    print_findings(ask(access, work), output)
