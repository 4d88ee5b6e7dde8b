"""How the first part of a path chooses among lists of routes, in one look-up."""

from collections.abc import Mapping, Sequence

from smallmodel_operator.plan.gateway.document import Message, typed
from smallmodel_operator.plan.gateway.routes import Route


def by_path_prefix(routes: Mapping[str, Sequence[Route]]) -> Message:
    """Return a matcher of the longest beginning of the path that has routes."""
    return {
        "matcher_tree": {
            "input": _path_input(),
            "prefix_match_map": {
                "map": {beginning: _route_list(routes[beginning]) for beginning in routes}
            },
        }
    }


def _path_input() -> Message:
    return {
        "name": "path",
        "typed_config": typed(
            "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", {"header_name": ":path"}
        ),
    }


def _route_list(routes: Sequence[Route]) -> Message:
    routed = typed("envoy.config.route.v3.RouteList", {"routes": routes})
    return {"action": {"name": "routes", "typed_config": routed}}
