"""Where references to Python objects lead that are documented under another name, or elsewhere.

The public names are documented where users import them from, ``asyncendpoints.connect``, while type hints
and base classes carry the module that defines them. What belongs to the standard library or to the library's
inside is shown as plain code: the build needs no network.
"""

from __future__ import annotations

import builtins
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docutils import nodes
    from sphinx.addnodes import pending_xref
    from sphinx.application import Sphinx
    from sphinx.environment import BuildEnvironment

#: Names that annotations write without their module.
_BARE = {
    "Annotated", "Any", "Awaitable", "Callable", "ClassVar", "Generator", "Iterable", "KW_ONLY",
    "IPv4Address", "IPv6Address", "Mapping", "Path", "Self", "Sequence", "SSLContext",
    "TracebackType",
    "SSLCertVerificationError", "SSLError", "gaierror",
}  # fmt: skip

#: Type variables.
_VARIABLES = {"F", "P", "S", "T"}

#: Classes and modules that users meet in signatures and need not know.
_INSIDE = {
    "AnyAddress",
    "Authority",
    "Body",
    "Bound",
    "BoundDatagram",
    "BoundDatagrams",
    "Candidates",
    "Connection",
    "DNSListening",
    "DatagramListening",
    "Dial",
    "HandlerServer",
    "IPAddress",
    "Listening",
    "Loaded",
    "Names",
    "Policy",
    "RData",
    "Responder",
    "Served",
    "Transport",
    "Tunnelling",
    "events",
}

#: Flags of a query, for those who make one by its constructor.
_FLAGS = {"AD", "CD", "DO", "RD"}

#: Classes of dnspython.
_DNSPYTHON = {"Name", "RRset", "SRV"}


def resolve(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, contnode: nodes.TextElement
) -> nodes.Node | None:
    """Find the target of a reference that Sphinx did not, or let it be plain code."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"].lstrip(".")
    domain = env.domains["py"]
    for name in _documented(target, domain):
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", name, node, contnode)
    return contnode if _is_foreign(target) else None


def _documented(target: str, domain: Any) -> list[str]:
    """List the documented objects that a name can mean: there has to be exactly one."""
    parts = target.split(".")
    if parts[0] == "asyncendpoints":
        parts = parts[1:]
    if f"asyncendpoints.{parts[-1]}" in domain.objects:
        return [f"asyncendpoints.{parts[-1]}"]
    while parts:
        tail = "." + ".".join(parts)
        found = [
            name
            for name, entry in domain.objects.items()
            if name.endswith(tail) and not entry.aliased
        ]
        if len(found) == 1:
            return found
        parts = parts[1:] if parts[0].islower() else []
    return []


def _is_foreign(target: str) -> bool:
    first, last = target.partition(".")[0], target.rpartition(".")[2]
    return (
        first in sys.stdlib_module_names
        or hasattr(builtins, first)
        or first in _BARE | _INSIDE
        or last in _VARIABLES
        or last in _INSIDE | _FLAGS | _DNSPYTHON
    )


class Comments:
    """Keeps the comments of fields as they are: napoleon takes the words before a colon for a type."""

    def __init__(self) -> None:
        self._saved: list[str] = []

    def save(self, app: Sphinx, what: str, name: str, value: Any, options: Any, lines: Any) -> None:
        """Before napoleon."""
        self._saved = list(lines)

    def restore(
        self, app: Sphinx, what: str, name: str, value: Any, options: Any, lines: Any
    ) -> None:
        """After napoleon."""
        if what in {"attribute", "property"}:
            lines[:] = self._saved


#: Classes that users are given and do not make.
_GIVEN = {
    "AddressGuard",
    "Attempt",
    "CacheStats",
    "Counters",
    "Listener",
    "ListeningSocket",
    "NameServer",
    "Resolver",
    "Response",
    "Server",
    "Sockets",
    "StreamCounters",
    "StreamServer",
    "Tunnel",
    "UpstreamStats",
    "Zone",
}


def shorten(
    app: Sphinx, what: str, name: str, value: Any, options: Any, signature: str | None, result: Any
) -> tuple[str, str | None] | None:
    """Leave out of a signature what says nothing to a reader."""
    if signature is None:
        return None
    if what == "exception" or name.rpartition(".")[2] in _GIVEN:
        return "", None
    return signature.replace("_UNSET", "...").replace("<factory>", "{}"), result


def setup(app: Sphinx) -> dict[str, Any]:
    comments = Comments()
    app.connect("autodoc-process-docstring", comments.save, priority=100)
    app.connect("autodoc-process-docstring", comments.restore, priority=900)
    app.connect("autodoc-process-signature", shorten)
    app.connect("missing-reference", resolve)
    return {"parallel_read_safe": True}
