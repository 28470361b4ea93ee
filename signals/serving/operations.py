"""Operations of a read-only HTTP API: parameters and answers, validated and described as OpenAPI 3.1."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Literal, NotRequired, TypedDict

from signals.errors import FixInput
from signals.text.wording import clean

Schema = Mapping[str, object]


class ParameterSchema(TypedDict):
    """JSON schema of a text or a whole number."""

    type: Literal["string", "integer"]
    format: NotRequired[str]
    maxLength: NotRequired[int]
    pattern: NotRequired[str]
    minimum: NotRequired[int]
    maximum: NotRequired[int]
    default: NotRequired[int]


DAY: ParameterSchema = {"type": "string", "format": "date"}
ERROR: Schema = {
    "type": "object",
    "required": ["what", "where", "fix"],
    "properties": {name: {"type": "string"} for name in ("what", "where", "fix")},
    "additionalProperties": False,
}
REFUSALS = {
    401: "The token is missing or wrong.",
    403: "Asked by another site's page, or under a name that is not this server's.",
    404: "There is no such thing.",
    422: "The request says something that cannot be answered; `fix` says how to ask.",
    503: "It cannot be answered now: the ledger or the bundle is not usable, or too many wait.",
    504: "It was not answered within the deadline.",
}
OF_A_BODY = {
    400: "The body is not JSON.",
    408: "The body did not arrive in time.",
    413: "The body is larger than the limit.",
    415: "The body is not application/json.",
}


class NotFound(FixInput):
    """There is nothing under that name."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of a path or query.

    Attributes
    ----------
    says : str
        A sentence.
    schema : ParameterSchema
        A date, a text of bounded length, or a whole number of a range with its default.
    """

    name: str
    says: str
    schema: ParameterSchema

    def read(self, text: str) -> str | int | date:
        """Return the value; raise `FixInput` where it is not of the schema."""
        if self.schema["type"] == "integer":
            low, high = self.schema["minimum"], self.schema["maximum"]
            if re.fullmatch(r"-?[0-9]{1,9}", text) and low <= int(text) <= high:
                return int(text)
            raise self._wrong(text, f"Give a whole number from {low} to {high}")
        if self.schema.get("format") == "date":
            try:
                if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text, re.ASCII):
                    return date.fromisoformat(text)
            except ValueError:
                pass
            raise self._wrong(text, "Write it as YYYY-MM-DD")
        if len(text) > self.schema["maxLength"] or not re.fullmatch(self.schema.get("pattern", ".*"), text, re.DOTALL):
            raise self._wrong(text, f"Give at most {self.schema['maxLength']} of its characters")
        return text

    def _wrong(self, text: str, fix: str) -> FixInput:
        return FixInput(f"{self.name} cannot be {clean(text)[:40]!r}", fix=fix)


def text_of(most: int, pattern: str = ".*") -> ParameterSchema:
    """Return the schema of a text."""
    return {"type": "string", "maxLength": most, "pattern": pattern}


def whole(low: int, high: int, default: int) -> ParameterSchema:
    """Return the schema of a whole number."""
    return {"type": "integer", "minimum": low, "maximum": high, "default": default}


@dataclass(frozen=True)
class Arguments:
    """Values of an operation's parameters, those that were given or have defaults."""

    values: Mapping[str, str | int | date] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a text; empty where it was not given."""
        return str(self.values.get(name, ""))

    def whole(self, name: str) -> int:
        """Return a whole number."""
        return int(str(self.values[name]))

    def day(self, name: str) -> date | None:
        """Return a date; None where it was not given."""
        found = self.values.get(name)
        return found if isinstance(found, date) else None


@dataclass(frozen=True)
class Call:
    """One request: the arguments, and the body's bytes."""

    given: Arguments
    body: bytes = b""


@dataclass(frozen=True)
class Operation:
    """One operation.

    Attributes
    ----------
    name : str
        Its id in the document.
    method, path : str
        The path may hold `{name}` for a parameter.
    says : str
        A sentence.
    answer : mapping
        JSON schema.
    run : callable
        Blocks; returns JSON values, or bytes that are JSON already.
    body : mapping or None
        JSON schema of the body.
    lane : str
        Operations of one lane are run one after the other.
    """

    name: str
    method: str
    path: str
    says: str
    answer: Schema
    run: Callable[[Call], object] = field(compare=False)
    parameters: tuple[Parameter, ...] = ()
    body: Schema | None = None
    lane: str = "reading"

    @property
    def in_path(self) -> tuple[str, ...]:
        """Names of the parameters in the path."""
        return tuple(re.findall(r"{(\w+)}", self.path))

    def match(self, path: str) -> dict[str, str] | None:
        """Return the texts that a decoded path holds for the parameters; None for another path."""
        pattern = "".join(
            f"(?P<{part[1:-1]}>[^/]+)" if part.startswith("{") else re.escape(part) for part in re.split(r"({\w+})", self.path)
        )
        found = re.fullmatch(pattern, path)
        return found.groupdict() if found else None

    def read(self, in_path: Mapping[str, str], query: Sequence[tuple[str, str]]) -> Arguments:
        """Return the arguments; raise `FixInput` for one that is unknown, given twice, or of another kind."""
        known = {one.name: one for one in self.parameters}
        given: dict[str, str | int | date] = {}
        for name, text in [*in_path.items(), *query]:
            if name not in known or (name in self.in_path) != (name in in_path) or name in given:
                state = "comes twice" if name in given else "is unknown here"
                raise FixInput(f"the parameter {clean(name)[:40]!r} {state}", fix=f"Use {', '.join(known) or 'none'}, each once")
            given[name] = known[name].read(text)
        defaults = {one.name: one.schema["default"] for one in self.parameters if "default" in one.schema}
        return Arguments(defaults | given)


def openapi(title: str, version: str, operations: Sequence[Operation]) -> dict[str, object]:
    """Return the OpenAPI 3.1 document of the operations; every one asks for the token."""
    paths: dict[str, dict[str, object]] = {}
    for one in operations:
        paths.setdefault(one.path, {})[one.method.lower()] = _described(one)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "security": [{"token": []}],
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}, "schemas": {"Error": ERROR}},
    }


def _described(one: Operation) -> dict[str, object]:
    refusals = REFUSALS | (OF_A_BODY if one.body is not None else {})
    error = {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}}
    described: dict[str, object] = {
        "operationId": one.name,
        "summary": one.says,
        "parameters": [
            {
                "name": row.name,
                "in": "path" if row.name in one.in_path else "query",
                "required": row.name in one.in_path,
                "description": row.says,
                "schema": row.schema,
            }
            for row in one.parameters
        ],
        "responses": {
            "200": {"description": "The answer.", "content": {"application/json": {"schema": one.answer}}},
            **{str(status): {"description": says, "content": error} for status, says in sorted(refusals.items())},
        },
    }
    if one.body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": one.body}}}
    return described
