"""Whether a config node fits what it names: its settings are held against the annotations there.

`_target_` is imported, nothing is called. Whatever a node names, ours or another package's, its
signature says which settings exist, of which type, and in which range (`Annotated[int, Ge(1)]`,
`Literal["a", "b"]`); pydantic judges. A number is never read out of a text, nor `true` taken for
1: what a file says is what is meant. A `checked` class holds its arguments against the same
annotations when a program calls it.
"""

from __future__ import annotations

import difflib
import inspect
import json
import pkgutil
import re
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from functools import cache, wraps
from types import SimpleNamespace, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    Required,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core import ErrorDetails, SchemaError
from typing_extensions import is_protocol, is_typeddict

MISSING = "???"  # OmegaConf's mark of a value that must be set
UNSET = "is not set"
HYDRAS = ("_target_", "_partial_", "_recursive_", "_convert_", "_args_")  # keys of every node
CONFIG = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, arbitrary_types_allowed=True)
SURROGATE = re.compile("[\ud800-\udfff]")  # half of a character
LONGEST = 60  # characters of a value in a message
A_NODE = "a node with a `_target_`"
# what pydantic calls a problem -> what must be; for all others it has words of its own
MUST_BE = {
    "int_type": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_too_short": "text, not empty",
    "literal_error": "{expected}",
    "greater_than": "over {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "too_short": "a list of at least {min_length}",
    "too_long": "a list of at most {max_length}",
    "list_type": "a list",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "dataclass_type": "a mapping",
    "none_required": "null",
    "needs_python_object": A_NODE,
    "callable_type": A_NODE,
}
ABSENT = {
    "missing": UNSET,
    "extra_forbidden": "is no setting",
    "unexpected_keyword_argument": "is no setting",
}

Path = tuple[str | int, ...]
Class = TypeVar("Class", bound=type)


class Problem(NamedTuple):
    """What is wrong with the setting at `path`; the message goes on after its key."""

    path: Path
    message: str

    def told(self, key: str) -> str:
        """Say it of the setting `key`."""
        return f"{key} {self.message}" + (f": {key}=…" if self.message == UNSET else "")


def key_of(path: Path) -> str:
    """Write a path as overrides do: `recipe.phases[0].lr`."""
    return "".join(f"[{p}]" if isinstance(p, int) else f".{p}" for p in path).removeprefix(".")


class Node:
    """Says that an argument is to be a config node, whatever it names."""


class Given(tuple[str, ...]):
    """Names the arguments that the program supplies: `Annotated[Node, Given(["space"])]`."""


def checked(cls: Class) -> Class:
    """Make the constructor of `cls` refuse what the check of settings would, with a `ValueError`.

    Objects, which no config could hold, are not looked at.
    """
    init = vars(cls)["__init__"]
    signature = inspect.signature(init)

    @wraps(init)
    def hold_and_init(self: Any, *args: Any, **more: Any) -> None:
        given = signature.bind(self, *args, **more).arguments
        plain = {name: value for name, value in given.items() if _is_plain(value)}
        if found := problems(cls, plain, partial=True):
            told = (f"{cls.__name__}: {problem.told(key_of(problem.path))}" for problem in found)
            raise ValueError("\n".join(told))
        init(self, *args, **more)

    cls.__init__ = hold_and_init  # type: ignore[misc]
    return cls


def node_problems(node: Mapping[str, Any], given: Collection[str] = ()) -> list[Problem]:
    """Return what is wrong with `node`, which holds no interpolations, and with nodes within.

    Args:
        given: names of arguments that the program supplies.
    """
    target = node["_target_"]
    try:
        factory = pkgutil.resolve_name(target)
        _arguments(factory)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        return [Problem(("_target_",), f"names nothing that can be built, {target!r}: {error}")]
    settings = {name: value for name, value in node.items() if name not in HYDRAS}
    partial = bool(node.get("_partial_"))
    return problems(factory, settings, given=given, partial=partial)


def problems(
    factory: Callable[..., Any],
    settings: Mapping[str, Any],
    *,
    given: Collection[str] = (),
    partial: bool = False,
    root: bool = False,
) -> list[Problem]:
    """Return why `factory` cannot be called with `settings`.

    Args:
        given: names of arguments that the program supplies.
        partial: others will be added later.
        root: of a config, which is read and not called: a mapping may be all of a dataclass.
    """
    known = {name: a for name, a in _arguments(factory).items() if name not in given}
    found = [
        Problem((name,), UNSET)
        for name, argument in known.items()
        if argument.needed and name not in settings and not partial
    ]
    open_ended = any(argument.takes_others for argument in known.values())
    for name, value in settings.items():
        if name in known:
            found += _under((name,), misfits(value, known[name].annotation, root))
        elif open_ended:
            found += _under((name,), misfits(value, Any))
        else:
            found.append(unknown(name, known))
    return found


def misfits(value: Any, annotation: Any, root: bool = False) -> list[Problem]:
    """Return what in `value`, and in nodes within it, is not as `annotation` says."""
    if isinstance(value, dict) and _is_plain_mapping(annotation, value, root):
        return problems(annotation, value, root=root)
    inside = dict(_walk(value))
    if broken := [where for where, part in inside.items() if not _is_encodable(part)]:
        return [Problem(where, f"holds half a character: {inside[where]!r}") for where in broken]
    errors: dict[Path, list[ErrorDetails]] = {}
    for error in _errors(value, annotation):
        errors.setdefault(_where(inside, error), []).append(error)
    given = [m for m in getattr(annotation, "__metadata__", ()) if isinstance(m, Given)]
    unset, of_nodes = [], []
    for where, part in inside.items():
        if part == MISSING:
            unset.append(Problem(where, UNSET))
            errors.pop(where, None)
        elif _is_node(part) and _may_be_node(errors.get(where, ())):
            of_nodes += _under(where, node_problems(part, *given))
            errors.pop(where, None)
    own = [
        Problem(where, _sentence(inside.get(where), wrong))
        for where, wrong in errors.items()
        if not any(where == other[: len(where)] for other in errors if other != where)
    ]
    return [*unset, *own, *of_nodes]


def unknown(key: str, known: Collection[str]) -> Problem:
    """Say that `key` is no setting, and which ones are nearly it."""
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.6)
    told = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(sorted(known))}"
    return Problem((key,), f"is no setting; {told}")


def _under(path: Path, found: Iterable[Problem]) -> list[Problem]:
    return [Problem((*path, *problem.path), problem.message) for problem in found]


class Argument(NamedTuple):
    """What a callable takes under a name."""

    annotation: Any
    needed: bool
    takes_others: bool  # it is `**others`


@cache
def _arguments(factory: Callable[..., Any]) -> Mapping[str, Argument]:
    """Return what a callable takes; of a `TypedDict`, what it has."""
    if is_typeddict(factory):
        hints = get_type_hints(factory, include_extras=True)
        return {name: _of_key(hint, vars(factory)["__total__"]) for name, hint in hints.items()}
    return {
        name: Argument(
            _annotation(factory, p),
            p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD),
            p.kind == p.VAR_KEYWORD,
        )
        for name, p in inspect.signature(factory).parameters.items()
    }


def _of_key(hint: Any, total: bool) -> Argument:
    mark = get_origin(hint)
    if mark in (Required, NotRequired):
        (inner,) = get_args(hint)
        return Argument(inner, mark is Required, False)
    return Argument(hint, total, False)


def _annotation(factory: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """Return what a parameter may be; `Any` where nothing says so at run time."""
    name, hint = parameter.name, parameter.annotation
    if hint is parameter.empty:
        return Any
    try:
        holder = SimpleNamespace(__annotations__={name: hint})
        return get_type_hints(holder, _names(factory, parameter), include_extras=True)[name]
    except (NameError, AttributeError, TypeError, SyntaxError):
        return Any


def _names(factory: Callable[..., Any], parameter: inspect.Parameter) -> dict[str, Any]:
    """Return what the names in an annotation mean: to the module where it was written."""
    if not isinstance(factory, type):
        return getattr(inspect.unwrap(factory), "__globals__", {})
    owner = next(cls for cls in factory.__mro__ if "__init__" in vars(cls))
    if is_dataclass(owner):  # its constructor was put together from the fields of several classes
        for cls in owner.__mro__:
            if inspect.get_annotations(cls).get(parameter.name) == parameter.annotation:
                return vars(sys.modules[cls.__module__])
    return getattr(inspect.unwrap(vars(owner)["__init__"]), "__globals__", {})


def _errors(value: Any, annotation: Any) -> list[ErrorDetails]:
    """Validate as JSON, where a list is any sequence, a text a path, and no number is a text."""
    try:
        adapter = _adapter(annotation)
    except (PydanticUserError, SchemaError, NameError, TypeError):
        return []  # an annotation that only programs understand
    try:
        adapter.validate_json(json.dumps([value], default=str), strict=True)
    except ValidationError as error:
        return error.errors(include_url=False)
    return []


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    annotation = _with_nodes(annotation)
    return TypeAdapter(tuple[annotation], config=CONFIG)


def _with_nodes(annotation: Any) -> Any:
    """Put `Node` where an object must be: pydantic would look for its fields in plain values."""
    if isinstance(annotation, type) and (is_dataclass(annotation) or is_protocol(annotation)):
        return Node
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        kind, *marks = inner
        return Annotated[(_with_nodes(kind), *marks)]
    if origin in (Union, UnionType):
        return Union[tuple(map(_with_nodes, inner))]  # noqa: UP007
    if origin in (None, Literal, Callable):
        return annotation
    return origin[tuple(map(_with_nodes, inner))]


def _where(inside: Collection[Path], error: ErrorDetails) -> Path:
    """Return the path of an error, without the members of unions that pydantic puts into it."""
    path: Path = ()
    for step in error["loc"][1:]:
        path = (*path, step) if (*path, step) in inside else path
    return (*path, error["loc"][-1]) if error["type"] == "missing" else path


def _may_be_node(errors: Collection[ErrorDetails]) -> bool:
    """Tell whether a node can stand where plain values have these errors."""
    return not errors or any(MUST_BE.get(e["type"], A_NODE) == A_NODE for e in errors)


def _sentence(value: Any, errors: Sequence[ErrorDetails]) -> str:
    """Say what must be; of a union, of the members whose type the value has, or else of all."""
    judged = [e for e in errors if not e["type"].endswith("_type")] or errors
    first = judged[0]
    if first["type"] in ABSENT:
        return ABSENT[first["type"]]
    if first["type"] not in MUST_BE:
        return first["msg"].removeprefix("Value error, ").replace("Input should", "must")
    expected = [
        MUST_BE[error["type"]].format(**{k: _number(v) for k, v in error.get("ctx", {}).items()})
        for error in judged
        if error["type"] in MUST_BE
    ]
    got = repr(value) if len(repr(value)) <= LONGEST else f"{repr(value)[:LONGEST]}…"
    return f"must be {' or '.join(dict.fromkeys(expected))}, got {got}" + _quotes(value, expected)


def _quotes(value: Any, expected: Collection[str]) -> str:
    """Say when only quotes make a value what it is not."""
    if isinstance(value, str) and any("number" in words for words in expected):
        try:
            float(value)
        except ValueError:
            return ""
        return " (a text: without quotes it is a number)"
    numeric = isinstance(value, int | float)
    return f" (in quotes it is text: \"'{value}'\")" if numeric and "text" in expected else ""


def _number(value: Any) -> Any:
    """Write bounds as people do: 1,000,000 and not 1000000.0."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return f"{value:,}" if isinstance(value, int) else value


def _is_node(value: Any) -> bool:
    return isinstance(value, dict) and "_target_" in value


def _is_plain_mapping(annotation: Any, value: Mapping[str, Any], root: bool) -> bool:
    """Tell whether the keys of `value` are settings of `annotation` itself, not of a node."""
    if is_typeddict(annotation):
        return True
    if not (isinstance(annotation, type) and is_dataclass(annotation)):
        return False
    if not _is_node(value):
        return root
    try:
        made = pkgutil.resolve_name(value["_target_"])
    except (ImportError, AttributeError, ValueError, TypeError):
        return False
    return isinstance(made, type) and not issubclass(made, annotation)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, dict) and not _is_node(value)


def _is_plain(value: Any) -> bool:
    """Tell whether a config could hold `value`."""
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def _is_encodable(value: Any) -> bool:
    """Tell whether a text can be written to a file."""
    return not isinstance(value, str) or not SURROGATE.search(value)


def _walk(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield everything in `value`, itself included; of nodes only themselves."""
    yield path, value
    if _is_mapping(value):
        steps: Iterable[tuple[Any, Any]] = value.items()
    else:
        steps = enumerate(value) if isinstance(value, list) else ()
    for step, child in steps:
        yield from _walk(child, (*path, step))
