"""The engines of a pool: each replica leaves its report in Ray's store, and `_index` reads them.

A replica is not asked, because a request would count as use and wake a parked model. Ray's store is
that of the head, so a report costs one write at each change, and nothing while nothing changes.
"""

from smallmodel_operator.api.serving import EngineReport

_NAMESPACE = b"smallmodel-engines"


def publish(report: EngineReport) -> None:
    """Leave the report of this replica, in place of the one before; blocks.

    Raises:
        Exception: Whatever Ray raises while its head does not answer.
    """
    import ray
    from ray.experimental import internal_kv

    name = ray.get_runtime_context().get_actor_name() or ""
    internal_kv._internal_kv_put(name, report.model_dump_json(), namespace=_NAMESPACE)


def published() -> tuple[EngineReport, ...]:
    """Return the reports of all replicas that live, and forget the others; blocks."""
    from ray.experimental import internal_kv
    from ray.util import list_named_actors

    # Read first: a replica that comes in between is one that lives.
    names = [key.decode() for key in internal_kv._internal_kv_list(b"", namespace=_NAMESPACE)]
    living = {each["name"] for each in list_named_actors(all_namespaces=True)}
    reports = []
    for name in sorted(names):
        if name not in living:
            internal_kv._internal_kv_del(name, namespace=_NAMESPACE)
            continue
        report = internal_kv._internal_kv_get(name, namespace=_NAMESPACE)
        if report is not None:
            reports.append(EngineReport.model_validate_json(report))
    return tuple(reports)
