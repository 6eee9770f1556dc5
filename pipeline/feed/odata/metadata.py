"""$metadata: the model in CSDL, as XML and as JSON."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

from pipeline.feed.odata.expands import SCHEMA
from pipeline.feed.odata.model import Entity, Model, Navigation, Property

_EDMX = "http://docs.oasis-open.org/odata/ns/edmx"
_EDM = "http://docs.oasis-open.org/odata/ns/edm"
_DESCRIPTION = "Org.OData.Core.V1.Description"
_NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def container_of(model: Model) -> str:
    """The name of the entity container: one that no table has."""
    name = "Feed"
    while name in model.entities:
        name += "_"
    return name


# ---------------------------------------------------------------- XML
def csdl_xml(model: Model) -> bytes:
    """As OData 4.0 prescribes it."""
    ElementTree.register_namespace("edmx", _EDMX)
    ElementTree.register_namespace("", _EDM)
    root = ElementTree.Element(f"{{{_EDMX}}}Edmx", Version="4.0")
    schema = _add(_add(root, f"{{{_EDMX}}}DataServices"), "Schema", Namespace=SCHEMA)
    for entity in model.entities.values():
        _xml_type(schema, entity)
    container = _add(schema, "EntityContainer", Name=container_of(model))
    for entity in model.entities.values():
        found = _add(container, "EntitySet", Name=entity.name, EntityType=f"{SCHEMA}.{entity.name}")
        for link in entity.navigations.values():
            _add(found, "NavigationPropertyBinding", Path=link.name, Target=link.target)
        _describe(found, entity.description)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def _add(parent: ElementTree.Element, name: str, **attributes: str) -> ElementTree.Element:
    full = name if name.startswith("{") else f"{{{_EDM}}}{name}"
    return ElementTree.SubElement(parent, full, attributes)


def _xml_type(schema: ElementTree.Element, entity: Entity) -> None:
    found = _add(schema, "EntityType", Name=entity.name)
    key = _add(found, "Key")
    for name in entity.key:
        _add(key, "PropertyRef", Name=name)
    for item in entity.properties.values():
        attributes = {"Name": item.name, "Type": item.type.name, **_facets(item)}
        _describe(_add(found, "Property", **attributes), item.description)
    for link in entity.navigations.values():
        _xml_link(found, entity, link)
    _describe(found, entity.description)


def _facets(item: Property) -> dict[str, str]:
    found = {} if item.nullable else {"Nullable": "false"}
    if item.type.precision is not None:
        found["Precision"] = str(item.type.precision)
    if item.type.scale is not None:
        found["Scale"] = str(item.type.scale)
    return found


def _xml_link(parent: ElementTree.Element, entity: Entity, link: Navigation) -> None:
    kind = f"{SCHEMA}.{link.target}"
    found = _add(parent, "NavigationProperty", Name=link.name, Type=f"Collection({kind})" if link.many else kind)
    if not link.many:
        found.set("Nullable", "true" if entity.properties[link.own].nullable else "false")
    found.set("Partner", link.partner)
    if not link.many:
        _add(found, "ReferentialConstraint", Property=link.own, ReferencedProperty=link.other)


def _describe(element: ElementTree.Element, text: str) -> None:
    if text:
        _add(element, "Annotation", Term=_DESCRIPTION, String=_NO_XML.sub(" ", text))


# ---------------------------------------------------------------- JSON
def csdl_json(model: Model) -> dict[str, Any]:
    """The same in CSDL JSON, whose rules came with 4.01."""
    container = container_of(model)
    schema: dict[str, Any] = {entity.name: _json_type(entity) for entity in model.entities.values()}
    schema[container] = {
        "$Kind": "EntityContainer",
        **{entity.name: _json_set(entity) for entity in model.entities.values()},
    }
    return {"$Version": "4.0", "$EntityContainer": f"{SCHEMA}.{container}", SCHEMA: schema}


def _json_set(entity: Entity) -> dict[str, Any]:
    found: dict[str, Any] = {"$Collection": True, "$Type": f"{SCHEMA}.{entity.name}"}
    if entity.navigations:
        found["$NavigationPropertyBinding"] = {link.name: link.target for link in entity.navigations.values()}
    return found | _json_description(entity.description)


def _json_type(entity: Entity) -> dict[str, Any]:
    return {
        "$Kind": "EntityType",
        "$Key": list(entity.key),
        **{item.name: _json_property(item) for item in entity.properties.values()},
        **{link.name: _json_link(entity, link) for link in entity.navigations.values()},
        **_json_description(entity.description),
    }


def _json_property(item: Property) -> dict[str, Any]:
    found: dict[str, Any] = {} if item.type.name == "Edm.String" else {"$Type": item.type.name}
    if item.nullable:
        found["$Nullable"] = True
    if item.type.precision is not None:
        found["$Precision"] = item.type.precision
    if item.type.scale is not None:
        found["$Scale"] = item.type.scale
    return found | _json_description(item.description)


def _json_link(entity: Entity, link: Navigation) -> dict[str, Any]:
    found: dict[str, Any] = {
        "$Kind": "NavigationProperty",
        "$Type": f"{SCHEMA}.{link.target}",
        "$Partner": link.partner,
    }
    if link.many:
        return found | {"$Collection": True}
    if entity.properties[link.own].nullable:
        found["$Nullable"] = True
    return found | {"$ReferentialConstraint": {link.own: link.other}}


def _json_description(text: str) -> dict[str, str]:
    return {f"@{_DESCRIPTION}": text} if text else {}
