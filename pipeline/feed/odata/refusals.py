"""The three ways in which a question is not answered, as errors."""

from __future__ import annotations

from pipeline.errors import RequestError


def wrong(what: str, do: str = "correct the address") -> RequestError:
    """400: the request is not well formed, or names what does not exist for this reader."""
    return RequestError(what, status=400, code="BadRequest", do=do)


def unsupported(what: str, do: str = "ask without it, and do this part at your side") -> RequestError:
    """501: well formed, but not offered here; Power Query then does this part itself."""
    return RequestError(f"{what} is not supported", status=501, code="NotImplemented", do=do)


def absent(what: str) -> RequestError:
    """404: no such thing, or none that this reader may see."""
    return RequestError(what, status=404, code="NotFound", do="the service document lists what there is")


def unknown(name: str, place: str) -> RequestError:
    """400 for a property; the same words whether it does not exist or may not be seen."""
    return wrong(f"{place} has no property {name[:100]!r}", "$metadata lists the properties")
