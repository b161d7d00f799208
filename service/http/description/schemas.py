"""JSON schemas of bodies, by the names that the description gives to their classes."""

import dataclasses
from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

REF = "#/components/schemas/"

Key = tuple[Hashable, JsonSchemaMode]


class _Generator(GenerateJsonSchema):
    """Generator of schemas without titles, in which an answer has all of its fields, and no defaults."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        """Leave titles out: they only repeat the names."""
        return False

    def field_is_required(self, field: Any, total: bool) -> bool:
        """Tell if a field is required; an answer also has the fields that have a default."""
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            return True
        return super().field_is_required(field, total)

    def dataclass_schema(self, schema: Any) -> dict[str, Any]:
        """Schema of an answer; a field whose metadata say `sometimes` may be missing."""
        made = super().dataclass_schema(schema)
        fields = dataclasses.fields(schema["cls"])
        optional = {field.name for field in fields if field.metadata.get("sometimes")}
        required = [name for name in made.get("required", ()) if name not in optional]
        return made | {"required": required} if required else made

    def default_schema(self, schema: Any) -> dict[str, Any]:
        """Schema of a value with a default."""
        if self.mode == "serialization":
            return self.generate_inner(schema["schema"])
        return super().default_schema(schema)


class SchemaBook:
    """Schemas of types; a name that two different classes would have is an error."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._wanted: dict[Key, TypeAdapter[Any]] = {}

    def want(self, kind: Any, mode: JsonSchemaMode) -> Key:
        """Ask for the schema of a type; returns its key in the first result of `schemas`."""
        key = (repr(kind), mode)
        self._wanted[key] = TypeAdapter(kind)
        return key

    def schemas(self) -> tuple[dict[Key, Any], dict[str, Any]]:
        """Make the schemas of all types that were asked for, and the components to which they refer."""
        made, whole = TypeAdapter.json_schemas(
            [(key, mode, adapter) for (key, mode), adapter in self._wanted.items()],
            ref_template=REF + "{model}",
            schema_generator=_Generator,
        )
        components: dict[str, Any] = whole.get("$defs", {})
        named = {name: self._names.get(name, name) for name in components}
        if len(set(named.values())) < len(named) or any("__" in name or "-" in name for name in named):
            raise ValueError(f"two schemas would have one name: {sorted(named.items())}")
        return (
            {(key, mode): renamed(schema, named) for (key, mode), schema in made.items()},
            {named[name]: component(renamed(schema, named)) for name, schema in components.items()},
        )


def referenced(value: Any) -> set[str]:
    """Names of the schemas to which a part of the description refers."""
    return {ref.removeprefix(REF) for ref in _references(value) if ref.startswith(REF)}


def _references(value: Any) -> Iterator[str]:
    match value:
        case {"$ref": str() as ref}:
            yield ref
        case dict():
            for part in value.values():
                yield from _references(part)
        case list():
            for part in value:
                yield from _references(part)


def renamed(schema: Any, names: Mapping[str, str]) -> Any:
    """Copy of a schema that refers to other schemas by their new names."""
    match schema:
        case {"$ref": str() as ref}:
            old = ref.removeprefix(REF)
            return schema | {"$ref": REF + names.get(old, old)}
        case dict():
            return {key: renamed(value, names) for key, value in schema.items()}
        case list():
            return [renamed(value, names) for value in schema]
        case _:
            return schema


def component(schema: dict[str, Any]) -> dict[str, Any]:
    """Component without its title, which repeats its name, and with paragraphs of one line."""
    found = {key: value for key, value in schema.items() if key != "title"}
    if "description" in found:
        paragraphs = found["description"].split("\n\n")
        found["description"] = "\n\n".join(" ".join(each.split()) for each in paragraphs)
    return found
