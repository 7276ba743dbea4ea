"""Rules of segments as SQL, for the whole base at once. What they say of one customer, `conditions.holds` says too."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    SQLColumnExpression,
    String,
    and_,
    bindparam,
    case,
    cast,
    delete,
    false,
    func,
    literal,
    not_,
    null,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, NUMERIC

from campaigns.models.journey.conditions import (
    ITEMS,
    All,
    AnyOf,
    AttributeIs,
    Condition,
    EventDone,
    InSegment,
    Not,
    PropertyIs,
    is_reference,
)
from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import insert
from campaigns.models.store.tables import Customer, Event, SegmentChange, SegmentMember
from campaigns.models.values import parse_duration

Expression = SQLColumnExpression[Any]
MAX_INTEGER = 2**53
"""Beyond this a JSON number is not the same number everywhere."""


class NotInSql(Exception):
    """The rule asks what SQL says otherwise, or not at all: it is evaluated for one customer after the other."""


def compiled(connection: Connection, rule: Condition, now: datetime) -> ColumnElement[bool]:
    """Whether the rule holds of `customer`; never NULL. Raises NotInSql."""
    json = _Sqlite() if connection.dialect.name == "sqlite" else _Postgres()
    return _Compiler(json, now).condition(rule, None)


async def apply(
    connection: Connection, key: str, belongs: ColumnElement[bool], after: str, limit: int, now: datetime, cause: str
) -> str | None:
    """Lets the next so many customers by id enter and leave, with a record of each; the last of them, None at the end.

    Their rows are locked first, so that nobody's attributes or events change meanwhile. Nothing is triggered.
    """
    page = (
        select(Customer.id).where(Customer.id > after).order_by(Customer.id).limit(limit).with_for_update().subquery()
    )
    number, last = (await connection.execute(select(func.count(), func.max(page.c.id)))).one()
    if not number:
        return None
    here, member = and_(Customer.id > after, Customer.id <= last), _member(key)
    at = literal(now, SegmentMember.entered_at.type)
    change = case((belongs, "entered"), else_="left")
    changes = select(literal(key), Customer.id, change, literal(cause), at).where(here, belongs != member)
    await connection.execute(
        insert(connection, SegmentChange).from_select(["segment_key", "customer_id", "change", "cause", "at"], changes)
    )
    leaving = select(Customer.id).where(here, not_(belongs), member)
    await connection.execute(
        delete(SegmentMember).where(SegmentMember.segment_key == key, SegmentMember.customer_id.in_(leaving))
    )
    entering = select(literal(key), Customer.id, at).where(here, belongs, not_(member))
    await connection.execute(
        insert(connection, SegmentMember).from_select(["segment_key", "customer_id", "entered_at"], entering)
    )
    return last if number == limit else None


async def count_differing(connection: Connection, key: str, belongs: ColumnElement[bool]) -> tuple[int, int]:
    """How many of all customers would enter and leave."""
    member = _member(key)
    statement = select(
        func.count(case((and_(belongs, not_(member)), 1))), func.count(case((and_(not_(belongs), member), 1)))
    ).select_from(Customer)
    enter, leave = (await connection.execute(statement)).one()
    return int(enter), int(leave)


def _member(key: str) -> ColumnElement[bool]:
    return (
        select(SegmentMember.customer_id)
        .where(SegmentMember.segment_key == key, SegmentMember.customer_id == Customer.id)
        .correlate(Customer)
        .exists()
    )


class _Compiler:
    def __init__(self, json: "_Sqlite | _Postgres", now: datetime) -> None:
        self._json = json
        self._now = now

    def condition(self, condition: Condition, properties: Expression | None) -> ColumnElement[bool]:
        match condition:
            case All(all=children):
                return and_(*(self.condition(child, properties) for child in children))
            case AnyOf(any=children):
                return or_(*(self.condition(child, properties) for child in children))
            case Not(not_=child):
                return not_(self.condition(child, properties))
            case InSegment(segment=key):
                return _member(key)
            case EventDone():
                return self._event(condition)
            case AttributeIs(attribute="id"):
                return self._compare(condition, self._json.of_text(Customer.id))
            case AttributeIs(attribute=path):
                return self._compare(condition, self._at(Customer.attributes, path))
            case PropertyIs(property=path) if properties is not None:
                return self._compare(condition, self._at(properties, path))
        raise NotInSql

    def _at(self, base: Expression, path: str) -> Expression:
        """The value at a path with dots; a key that itself has dots comes first."""
        if ITEMS in path:
            raise NotInSql
        head, _, rest = path.partition(".")
        whole = self._json.member(base, path)
        if not rest:
            return whole
        below = self._at(self._json.raw(base, head), rest)
        return case((self._json.has(base, path), whole), else_=below)

    def _event(self, condition: EventDone) -> ColumnElement[bool]:
        count = select(func.count()).where(Event.customer_id == Customer.id, Event.name == condition.event)
        if condition.within is not None:
            since = self._now - parse_duration(condition.within)
            count = count.where(Event.timestamp >= since, Event.timestamp <= self._now)
        if condition.where is not None:
            count = count.where(self.condition(condition.where, Event.properties))
        return _ordered(condition.count.op, count.correlate(Customer).scalar_subquery(), literal(condition.count.value))

    def _compare(self, condition: AttributeIs | PropertyIs, value: Expression) -> ColumnElement[bool]:
        op, expected = condition.op, condition.value
        if op in ("exists", "not_exists"):
            return value.is_not(None) if op == "exists" else value.is_(None)
        if is_reference(expected) or op in ("before", "after"):
            raise NotInSql
        match op:
            case "equals":
                return self._equals(value, expected)
            case "not_equals":
                return not_(self._equals(value, expected))
            case "in":
                return or_(false(), *(self._equals(value, one) for one in expected))
            case "contains":
                inside = self._json.has_element(value, expected)
                return or_(inside, self._text(value, expected, self._json.contains))
            case "starts_with":
                return self._text(value, expected, self._json.starts_with)
        return self._ordered(op, value, expected)

    def _text(self, value: Expression, expected: Any, holds: Any) -> ColumnElement[bool]:
        if not isinstance(expected, str):
            return false()
        return _surely(and_(self._json.is_text(value), holds(self._json.text(value), expected)))

    def _equals(self, value: Expression, expected: Any) -> ColumnElement[bool]:
        json = self._json
        match expected:
            case None:
                return false()
            case bool():
                return _surely(json.is_bool(value, expected))
            case int() | float():
                _check_number(expected)
                return _surely(case((json.is_number(value), json.number(value) == expected), else_=false()))
            case str():
                return _surely(and_(json.is_text(value), json.text(value) == expected))
            case _:
                return _surely(json.same(value, expected))

    def _ordered(self, op: str, value: Expression, expected: Any) -> ColumnElement[bool]:
        json = self._json
        if isinstance(expected, bool):
            return false()
        if isinstance(expected, int | float):
            _check_number(expected)
            held = _ordered(op, json.number(value), literal(expected))
            return _surely(case((json.is_number(value), held), else_=false()))
        if isinstance(expected, str):
            text = json.collated(json.text(value))
            return _surely(and_(json.is_text(value), _ordered(op, text, json.collated(literal(expected)))))
        return false()


def _check_number(value: float) -> None:
    if abs(value) > MAX_INTEGER:
        raise NotInSql


def _surely(expression: ColumnElement[bool]) -> ColumnElement[bool]:
    """True or false, never NULL."""
    return func.coalesce(expression, false())


def _ordered(op: str, left: Expression, right: Expression) -> ColumnElement[bool]:
    match op:
        case "equals":
            return left == right
        case "not_equals":
            return left != right
        case "greater_than":
            return left > right
        case "at_least":
            return left >= right
        case "less_than":
            return left < right
    return left <= right


class _Sqlite:
    """SQLite's JSON functions (https://www.sqlite.org/json1.html); a value is JSON text.

    A missing value, and JSON's null, are NULL; so they are in `_Postgres`, which answers to the same names.
    """

    def _path(self, key: str) -> str:
        if '"' in key or "\\" in key:
            raise NotInSql
        return f'$."{key}"'

    def member(self, base: Expression, key: str) -> Expression:
        kind = func.json_type(_plain(base), self._path(key))
        return case((kind == "null", null()), else_=self.raw(base, key))

    def raw(self, base: Expression, key: str) -> Expression:
        return _plain(base).op("->", return_type=String())(self._path(key))

    def has(self, base: Expression, key: str) -> ColumnElement[bool]:
        return func.json_type(_plain(base), self._path(key)).is_not(None)

    def of_text(self, column: Expression) -> Expression:
        return func.json_quote(column, type_=String())

    def text(self, value: Expression) -> Expression:
        return value.op("->>", return_type=String())("$")

    def number(self, value: Expression) -> Expression:
        return value.op("->>", return_type=NUMERIC(asdecimal=False))("$")

    def is_text(self, value: Expression) -> ColumnElement[bool]:
        return func.json_type(value) == "text"

    def is_number(self, value: Expression) -> ColumnElement[bool]:
        return func.json_type(value).in_(("integer", "real"))

    def is_bool(self, value: Expression, expected: bool) -> ColumnElement[bool]:
        return func.json_type(value) == ("true" if expected else "false")

    def same(self, value: Expression, expected: Any) -> ColumnElement[bool]:
        raise NotInSql

    def has_element(self, value: Expression, expected: Any) -> ColumnElement[bool]:
        each = func.json_each(case((func.json_type(value) == "array", value), else_="[]")).table_valued("value", "type")
        match expected:
            case bool():
                found = each.c.type == ("true" if expected else "false")
            case int() | float():
                _check_number(expected)
                found = and_(each.c.type.in_(("integer", "real")), each.c.value == expected)
            case str():
                found = and_(each.c.type == "text", each.c.value == expected)
            case _:
                raise NotInSql
        return select(literal(1)).select_from(each).where(found).exists()

    def contains(self, text: Expression, expected: str) -> ColumnElement[bool]:
        return func.instr(text, expected) > 0

    def starts_with(self, text: Expression, expected: str) -> ColumnElement[bool]:
        return func.substr(text, 1, len(expected)) == expected

    def collated(self, text: Expression) -> Expression:
        return text


class _Postgres:
    """PostgreSQL's jsonb (https://www.postgresql.org/docs/current/functions-json.html)."""

    def member(self, base: Expression, key: str) -> Expression:
        return func.nullif(self.raw(base, key), cast(literal("null"), JSONB), type_=JSONB())

    def raw(self, base: Expression, key: str) -> Expression:
        return base.op("->", return_type=JSONB())(_text(key))

    def has(self, base: Expression, key: str) -> ColumnElement[bool]:
        return func.coalesce(and_(func.jsonb_typeof(base) == "object", func.jsonb_exists(base, _text(key))), false())

    def of_text(self, column: Expression) -> Expression:
        return func.to_jsonb(column, type_=JSONB())

    def text(self, value: Expression) -> Expression:
        return value.op("#>>", return_type=String())(cast([], ARRAY(String)))

    def number(self, value: Expression) -> Expression:
        return case((self.is_number(value), cast(self.text(value), NUMERIC)), else_=null())

    def is_text(self, value: Expression) -> ColumnElement[bool]:
        return func.jsonb_typeof(value) == "string"

    def is_number(self, value: Expression) -> ColumnElement[bool]:
        return func.jsonb_typeof(value) == "number"

    def is_bool(self, value: Expression, expected: bool) -> ColumnElement[bool]:
        return value == _jsonb(expected)

    def same(self, value: Expression, expected: Any) -> ColumnElement[bool]:
        return value == _jsonb(expected)

    def has_element(self, value: Expression, expected: Any) -> ColumnElement[bool]:
        if expected is None:
            return false()
        array = case((func.jsonb_typeof(value) == "array", value), else_=_jsonb([]))
        each = func.jsonb_array_elements(array).table_valued("value")
        return select(literal(1)).select_from(each).where(each.c.value.op("=")(_jsonb(expected))).exists()

    def contains(self, text: Expression, expected: str) -> ColumnElement[bool]:
        return func.strpos(text, expected) > 0

    def starts_with(self, text: Expression, expected: str) -> ColumnElement[bool]:
        return func.starts_with(text, expected)

    def collated(self, text: Expression) -> Expression:
        return text.collate("C")


def _plain(base: Expression) -> Expression:
    """The column as the text that it is, for its type would parse what comes out."""
    return type_coerce(base, String())


def _text(key: str) -> Expression:
    return cast(literal(key), String())


def _jsonb(value: Any) -> Expression:
    return bindparam(None, value, type_=JSONB(), unique=True)
