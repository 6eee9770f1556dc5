"""What a request's headers ask for: format, versions, page size, encoding."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.errors import RequestError
from pipeline.feed.odata.jsontext import Format
from pipeline.feed.odata.refusals import wrong

_SHORT = {"json": "application/json", "xml": "application/xml", "atom": "application/atom+xml"}
_JSON, _XML, _TEXT = "application/json", "application/xml", "text/plain"


@dataclass(frozen=True)
class Media:
    """A media range of Accept, with its parameters in lower case."""

    name: str
    parameters: tuple[tuple[str, str], ...] = ()
    weight: float = 1.0

    def parameter(self, name: str) -> str:
        """`odata.metadata` or, as later clients write, `metadata`."""
        known = dict(self.parameters)
        return known.get(f"odata.{name}", known.get(name, ""))

    def allows(self, kind: str) -> bool:
        return self.name in ("*/*", kind, kind.partition("/")[0] + "/*")


def check_versions(headers: Mapping[str, str]) -> None:
    """Raises RequestError (400) for a reader that wants something older than 4.0, or sends it."""
    for name in ("odata-maxversion", "odata-version"):
        asked = headers.get(name, "").strip()
        if asked and not re.fullmatch(r"[0-9]{1,3}(\.[0-9]{1,3})?", asked):
            raise wrong(f"{name} is not a version")
        if asked and float(asked) < 4:
            raise wrong(f"{name} is {asked} but this is OData 4.0", "ask with OData-MaxVersion: 4.0")


def json_format(headers: Mapping[str, str], asked: str | None) -> Format:
    """How JSON is to be written; `asked` is $format. Raises RequestError (406) when JSON will not do."""
    for media in _medias(headers, asked):
        metadata = media.parameter("metadata") or "minimal"
        if media.allows(_JSON) and metadata in ("minimal", "none", "full"):
            return Format(metadata, media.parameter("ieee754compatible") == "true")
    raise _not_acceptable("application/json")


def wants_json(headers: Mapping[str, str], asked: str | None) -> bool:
    """For $metadata: XML for all who take it, else JSON. Raises RequestError (406) when neither will do.

    Readers of 4.0 (Power Query among them) name JSON first for their data, and mean XML here.
    """
    medias = _medias(headers, asked)
    if any(media.allows(_XML) for media in medias):
        return False
    if any(media.allows(_JSON) for media in medias):
        return True
    raise _not_acceptable("application/xml or application/json")


def check_text(asked: str | None) -> None:
    """For $count and $value: plain text, whatever Accept says; $format must not say otherwise."""
    if asked and not _medias({}, asked)[0].allows(_TEXT):
        raise _not_acceptable("text/plain")


def _medias(headers: Mapping[str, str], asked: str | None) -> list[Media]:
    """The media ranges, best first. $format goes before Accept."""
    text = asked or headers.get("accept", "") or "*/*"
    if asked:
        return [_media(_SHORT.get(asked.lower(), asked))]
    found = [_media(part) for part in text.split(",")[:50] if part.strip()]
    ranked = sorted(found, key=lambda media: (-media.weight, media.name.count("*")))
    return [media for media in ranked if media.weight > 0]


def _media(text: str) -> Media:
    name, *rest = (part.strip() for part in text.split(";"))
    found, weight = list[tuple[str, str]](), 1.0
    for part in rest:
        key, _, value = part.partition("=")
        if key.strip().lower() == "q":
            weight = float(value) if re.fullmatch(r"[01](\.\d{0,9})?", value.strip()) else 0.0
        else:
            found.append((key.strip().lower(), value.strip().strip('"').lower()))
    return Media(name.lower(), tuple(found), weight)


def page_size(headers: Mapping[str, str]) -> int | None:
    """The page size of Prefer, if there is one that makes sense; preferences that do not are left alone."""
    for part in headers.get("prefer", "").split(","):
        found = re.fullmatch(r"(?:odata\.)?maxpagesize\s*=\s*\"?([0-9]{1,9})\"?", part.strip().lower())
        if found and int(found[1]) > 0:
            return int(found[1])
    return None


def encoding(headers: Mapping[str, str]) -> str:
    """zstd, gzip or identity: the best that the reader accepts."""
    accepted = dict[str, float]()
    for part in headers.get("accept-encoding", "").lower().split(","):
        name, _, rest = part.strip().partition(";")
        weight = rest.strip().removeprefix("q=")
        accepted[name.strip()] = float(weight) if re.fullmatch(r"[01](\.\d{0,9})?", weight) else 1.0
    return next((name for name in ("zstd", "gzip") if accepted.get(name, 0) > 0), "identity")


def _not_acceptable(offered: str) -> RequestError:
    return RequestError(
        "none of the formats asked for is offered", status=406, code="NotAcceptable", do=f"ask for {offered}"
    )
