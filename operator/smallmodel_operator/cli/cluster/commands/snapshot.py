"""`slm snapshot`: all that decisions read, as one file for `slm whatif --snapshot`."""

import sys

from smallmodel_operator.cli.cluster.options import Access, ContextOption, KubeconfigOption
from smallmodel_operator.cli.cluster.session import ask
from smallmodel_operator.cli.cluster.snapshot import take_snapshot
from smallmodel_operator.cli.output import print_note


def snapshot(context: ContextOption = None, kubeconfig: KubeconfigOption = None) -> None:
    """Print all that placing models reads, and what is decided of it, for `slm whatif --snapshot`.

    Models, cards, clusters with their nodes as they are now, data, laws and prices; no Secret's
    content. Clusters that the hub calls are called with what it has for them, so the caller must be
    allowed to read those Secrets.
    """
    file = ask(Access(context=context, kubeconfig=kubeconfig), take_snapshot)
    for name, why in file.unseen.items():
        print_note(f"Nothing was seen of {name}: {why}")
    sys.stdout.write(file.text)
