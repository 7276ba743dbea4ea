"""The Liquid of this product's texts: within limits, missing values noted, with filters for zones and money.

As Shopify's (https://shopify.github.io/liquid/), but that an object is written as JSON. It runs where texts are made.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache, wraps
from typing import Any, ClassVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from babel import Locale, UnknownLocaleError
from babel.numbers import format_currency
from liquid import BoundTemplate, Environment, RenderContext
from liquid.ast import Node
from liquid.builtin.expressions import Filter, FilteredExpression, KeywordArgument, TernaryFilteredExpression, logical
from liquid.builtin.expressions.primitive import Blank
from liquid.builtin.tags import case_tag
from liquid.exceptions import LiquidError
from liquid.expression import Expression
from liquid.filter import with_context, with_environment
from liquid.undefined import Undefined

from campaigns.models.moments import unix_moment

LIQUID_ERRORS = (LiquidError, RecursionError, ValueError, TypeError, ArithmeticError)


class TextError(Exception):
    """The text cannot be rendered for this customer, or is not Liquid at all."""


class Missing(Undefined):
    """A variable that has no value: false in conditions, empty in loops, noted where it would be written."""

    __slots__ = ()
    noted: ClassVar[dict[str, None]] = {}
    """The names, in the order in which they were met."""

    def __str__(self) -> str:
        name = self.hint.removesuffix(" is undefined") if self.hint and "undefined" in self.hint else self.name
        self.noted[name.strip("'")] = None
        return ""


class JsonObject(dict[str, Any]):
    """An object of the variables, which is written as JSON."""

    def __str__(self) -> str:
        return orjson.dumps(self).decode()


def as_variables(value: Any) -> Any:
    """Return JSON as templates take it: what is null is as missing as what is not there."""
    if isinstance(value, dict):
        return JsonObject({name: as_variables(part) for name, part in value.items() if part is not None})
    return [as_variables(part) for part in value] if isinstance(value, list) else value


_equal: Callable[[object, object], bool] = logical._eq


def _equal_or_blank(left: object, right: object) -> bool:
    """As Shopify compares: what is nil, false or missing is `blank` too. The library looks at texts and lists alone."""
    if isinstance(left, Blank):
        left, right = right, left
    if isinstance(right, Blank) and (left is None or left is False or isinstance(left, Undefined)):
        return True
    return _equal(left, right)


# Both modules look it up by name, and the library has no other place for it.
for module in (logical, case_tag):
    setattr(module, "_eq", _equal_or_blank)  # noqa: B010 - it is private to them


class _Limited(Environment):
    """Liquid with limits, so that most of what is endless is refused before the process must be killed."""

    context_depth_limit = 10
    loop_iteration_limit = 10_000
    local_namespace_limit = 1_000_000
    output_stream_limit = 2_000_000

    def __init__(self, *, autoescape: bool = False) -> None:
        super().__init__(autoescape=autoescape, undefined=Missing)
        known = {**self.filters, "date": date, "in_zone": in_zone, "money": money}
        self.filters = {name: _filter(name, apply) for name, apply in known.items()}


def _filter(name: str, apply: Callable[..., Any]) -> Callable[..., Any]:
    """The filter, through which a missing value passes up to its default, and no range is unrolled.

    `(1..1000000000)` needs to be refused here: Liquid's limits look only at what comes out.
    """

    @wraps(apply)
    def limited(*values: Any, **options: Any) -> Any:
        if values and isinstance(values[0], Missing) and name != "default":
            return values[0]
        if any(isinstance(value, range) and len(value) > _Limited.loop_iteration_limit for value in values):
            raise TextError(f"a range has more than {_Limited.loop_iteration_limit} numbers")
        return apply(*values, **options)

    return limited


_date: Callable[..., object] = Environment().filters["date"]


@with_environment
def date(value: object, format: str, *, environment: Environment) -> object:
    """As the library's, which for moments in a zone may answer another zone: it keeps moments by their value."""
    if isinstance(value, datetime) and isinstance(format, str):
        return value.strftime(format)
    return _date(value, format, environment=environment)


def in_zone(value: object, zone: object) -> object:
    """`{{ event.starts_at | in_zone: customer.timezone | date: "%H:%M" }}`: the moment on the clocks of that zone.

    A zone that is missing or none is UTC. What is no moment is left as it is.
    """
    moment = value if isinstance(value, datetime) else _moment(value)
    if moment is None:
        return value
    try:
        return moment.astimezone(ZoneInfo(zone) if isinstance(zone, str) else UTC)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return moment.astimezone(UTC)


def _moment(value: object) -> datetime | None:
    if value == "now":
        return datetime.now(UTC)
    if not isinstance(value, str):
        return unix_moment(value)
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@with_context
def money(value: object, currency: str, *, context: RenderContext) -> object:
    """`{{ event.total | money: "EUR" }}`: an amount as people of the customer's locale write it (Unicode CLDR).

    What is no number is left as it is; without a locale that is known it is written as in English.
    """
    try:
        amount = Decimal(str(value).strip())
    except InvalidOperation:
        return value
    if isinstance(value, bool) or not amount.is_finite():
        return value
    customer = context.resolve("customer")
    locale = customer.get("locale") if isinstance(customer, dict) else None
    return format_currency(amount, str(currency), locale=_locale(locale if isinstance(locale, str) else "en"))


@lru_cache(maxsize=256)
def _locale(name: str) -> Locale:
    try:
        return Locale.parse(name.replace("-", "_"))
    except (UnknownLocaleError, ValueError):
        return _locale(name.replace("-", "_").partition("_")[0]) if "_" in name or "-" in name else Locale("en")


_PLAIN = _Limited()
_HTML = _Limited(autoescape=True)


@lru_cache(maxsize=1024)
def parsed(source: str, html: bool) -> BoundTemplate:
    """Return the template. Raise one of LIQUID_ERRORS where it is none."""
    return (_HTML if html else _PLAIN).from_string(source)


def check_filters(template: BoundTemplate) -> None:
    """Raise TextError that names a filter that there is not, or one that does not take its arguments."""
    for used in _filters_of(template):
        apply = _PLAIN.filters.get(used.name)
        if apply is None:
            raise TextError(f"there is no filter {used.name!r}")
        signature = inspect.signature(apply)
        given = [argument for argument in used.args if not isinstance(argument, KeywordArgument)]
        named = [argument.name for argument in used.args if isinstance(argument, KeywordArgument)]
        own = [name for name in ("context", "environment") if name in signature.parameters]
        try:
            signature.bind(None, *given, **dict.fromkeys([*named, *own]))
        except TypeError as error:
            raise TextError(f"the filter {used.name!r}: {error}") from None


def _filters_of(template: BoundTemplate) -> Iterator[Filter]:
    context = RenderContext(template)
    rest: list[Node] = list(template.nodes)
    while rest:
        node = rest.pop()
        rest += node.children(context, include_partials=False)
        yield from _filters_in(node.expressions())


def _filters_in(expressions: Iterable[Expression]) -> Iterator[Filter]:
    rest = list(expressions)
    while rest:
        expression = rest.pop()
        rest += expression.children()
        if isinstance(expression, FilteredExpression | TernaryFilteredExpression):
            yield from expression.filters or ()
        if isinstance(expression, TernaryFilteredExpression):
            rest.append(expression.left)
            yield from expression.tail_filters or ()
