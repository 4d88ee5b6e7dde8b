"""`slm validate` for a cluster: offline, or by the API server's own words."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from smallmodel_operator.cli.cluster.options import (
    Access,
    ContextOption,
    KubeconfigOption,
    NamespaceOption,
)
from smallmodel_operator.cli.cluster.session import Session, ask
from smallmodel_operator.cli.commands import validate as offline
from smallmodel_operator.cli.commands.validate import PathsArgument
from smallmodel_operator.cli.errors import ExitCode
from smallmodel_operator.cli.output import Format, OutputOption, print_data, print_note, print_text


@dataclass(frozen=True, slots=True, kw_only=True)
class _Found:
    """A document of a file."""

    file: str
    line: int
    manifest: dict[str, Any] | None
    problem: str = ""
    """Set where it cannot be sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verdict:
    file: str
    line: int
    accepted: bool
    message: str


def validate(
    paths: PathsArgument,
    server: Annotated[
        bool, typer.Option("--server", help="Ask the API server, by a dry run of each manifest.")
    ] = False,
    namespace: NamespaceOption = None,
    context: ContextOption = None,
    kubeconfig: KubeconfigOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Check manifests: offline as `slm validate` does, or with --server by the API server.

    The API server's dry run writes nothing. It knows the schema and the policies of the cluster,
    and not whether the model is in the catalogue or fits: `slm plan` tells those.
    """
    if not server:
        offline.validate(paths, output)
        return
    found = [one for path in paths for one in _documents(path)]
    access = Access(context=context, kubeconfig=kubeconfig, namespace=namespace)

    async def work(session: Session) -> list[_Verdict]:
        return [await _judge(session, one) for one in found]

    verdicts = ask(access, work)
    _print(verdicts, output)
    if any(not verdict.accepted for verdict in verdicts):
        raise typer.Exit(ExitCode.INVALID_MANIFEST)


def _documents(path: Path) -> Iterator[_Found]:
    from smallmodel_operator.local.manifests import read_texts
    from smallmodel_operator.local.yamldoc import BrokenDocument, read_documents

    for file, text in read_texts(path):
        if not isinstance(text, str):
            yield _Found(file=file, line=text.line, manifest=None, problem=text.message)
            continue
        for document in read_documents(text):
            if isinstance(document, BrokenDocument):
                message = document.message
                yield _Found(file=file, line=document.line, manifest=None, problem=message)
            elif isinstance(document.data, dict):
                yield _Found(file=file, line=document.line_of(()), manifest=document.data)
            else:
                message = "a manifest is a mapping that starts with apiVersion, kind and metadata"
                yield _Found(file=file, line=document.line_of(()), manifest=None, problem=message)


async def _judge(session: Session, found: _Found) -> _Verdict:
    from smallmodel_operator.clusters import errors
    from smallmodel_operator.clusters.ref import resource_of

    def verdict(message: str, *, accepted: bool = False) -> _Verdict:
        return _Verdict(file=found.file, line=found.line, accepted=accepted, message=message)

    manifest = found.manifest
    if manifest is None:
        return verdict(found.problem)
    try:
        resource = resource_of(manifest)
    except ValueError:
        return verdict(
            f"the kind {manifest.get('kind')!r} of {manifest.get('apiVersion')!r} is none of those "
            "that the operator has to do with; `kubectl apply --dry-run=server` checks any kind"
        )
    metadata = manifest.get("metadata")
    if not isinstance(metadata, dict) or not metadata.get("name"):
        return verdict("metadata.name is not set; every object needs one")
    namespace = None
    if resource.namespaced:
        namespace = str(metadata.get("namespace") or session.namespace)
        manifest = {**manifest, "metadata": {**metadata, "namespace": namespace}}
    try:
        await session.api.dry_run(resource, namespace, manifest)
    except (errors.Invalid, errors.Conflict, errors.NamespaceMissing) as error:
        return verdict(str(error))
    where = f"{namespace}/" if namespace else ""
    return verdict(f"{resource.kind} {where}{metadata['name']} is accepted", accepted=True)


def _print(verdicts: Sequence[_Verdict], output: Format) -> None:
    refused = [verdict for verdict in verdicts if not verdict.accepted]
    if output is not Format.TABLE:
        print_data(
            {
                "valid": not refused,
                "validManifests": len(verdicts) - len(refused),
                "problems": [
                    {"file": one.file, "line": one.line, "message": one.message} for one in refused
                ],
            },
            output,
        )
        return
    for one in verdicts:
        place = f"{one.file}:{one.line}" if one.line else one.file
        if one.accepted:
            print_note(f"{place}: {one.message}")
        else:
            print_text(f"{place}: {one.message}")
    accepted = len(verdicts) - len(refused)
    print_note(f"The API server accepts {accepted} of {len(verdicts)} manifests.")
