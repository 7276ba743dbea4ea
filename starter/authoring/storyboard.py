"""A journey as boxes to be drawn: from declared steps, or from the source of a story in code."""

import ast
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from campaigns.models.journey.conditions import (
    All,
    AnyOf,
    AttributeIs,
    Condition,
    EventDone,
    InSegment,
    Not,
    PropertyIs,
    StepIs,
)
from campaigns.models.journey.definition import Definition, EventTrigger
from campaigns.models.journey.steps import (
    Branch,
    Delay,
    Email,
    Exit,
    MessageBase,
    Split,
    Step,
    UntilTime,
    Update,
    Wait,
    Webhook,
    blocks,
)
from campaigns.models.values import parse_duration
from campaigns.workflows.code.journey import Journey
from campaigns.workflows.registry import Journeys

VERBS = ("send", "delay", "wait_for", "branch", "split", "update", "exit")


@dataclass
class Box:
    """One step, or a choice or a loop of the code's own; `ways` are the blocks below by their labels."""

    kind: str
    title: str
    lines: list[str] = field(default_factory=list)
    ways: list[tuple[str, list["Box"]]] = field(default_factory=list)

    @property
    def ends(self) -> bool:
        """Whether nothing comes behind it."""
        return self.kind == "exit" or (bool(self.ways) and all(block and block[-1].ends for _, block in self.ways))


def storyboard(definition: Definition, journeys: Journeys) -> list[Box]:
    """The whole journey, from its trigger on."""
    trigger = definition.trigger
    if isinstance(trigger, EventTrigger):
        start = Box("trigger", trigger.event, [condition_text(trigger.where)] if trigger.where else [])
    else:
        start = Box("trigger", "enters " + " or ".join(trigger.segments))
    code = journeys.get(definition.workflow)
    below = _told(code) if code else [_declared(step) for step in definition.steps or []]
    return [start, *below]


def _declared(step: Step) -> Box:
    ways = [(name, [_declared(below) for below in block]) for name, _, block in blocks(step)]
    return Box(step.type, step.id, list(step_lines(step)), ways)


def step_lines(step: Step) -> Iterator[str]:
    """What the step does, in a line or two."""
    match step:
        case MessageBase():
            yield _message_text(step)
        case Delay():
            yield _delay_text(step)
        case Wait():
            yield "for " + ", ".join(dict.fromkeys(one.event for one in step.for_))
            yield f"at most {duration_text(step.timeout)}"
        case Branch():
            for case in step.branches[:3]:
                yield f"{case.name}: {condition_text(case.when)}"
        case Split():
            yield ", ".join(f"{variant.name} {variant.weight}" for variant in step.variants)
        case Update():
            yield ", ".join(step.attributes)
        case Exit():
            yield step.reason


def _message_text(step: MessageBase) -> str:
    match step:
        case Email(subject=str(subject)):
            return subject
        case Webhook():
            return f"{step.method} {step.url}"
        case _:
            text: str | None = getattr(step, "title", None) or getattr(step, "body", None)
            return text or f"template {step.template}"


def _delay_text(step: Delay) -> str:
    if step.for_ is not None:
        return duration_text(step.for_)
    if isinstance(step.until, UntilTime):
        return f"until {step.until.time}" + (f" on {', '.join(step.until.weekdays)}" if step.until.weekdays else "")
    if step.until is None:
        return ""
    offset = duration_text(step.until.offset) if parse_duration(step.until.offset) else ""
    at = f" at {step.until.time}" if step.until.time else ""
    return f"until {step.until.attribute} {offset}".rstrip() + at


def duration_text(duration: str) -> str:
    """The duration as people say it."""
    seconds = parse_duration(duration).total_seconds()
    sign, left, parts = "−" if seconds < 0 else "", abs(seconds), []
    for name, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        number, left = divmod(left, length)
        if number:
            parts.append(f"{number:.0f} {name}")
    if left or not parts:
        parts.append(f"{left:g} s")
    return sign + " ".join(parts)


def condition_text(condition: Condition) -> str:
    """The condition as people read it."""
    match condition:
        case All(all=parts):
            return " and ".join(condition_text(part) for part in parts)
        case AnyOf(any=parts):
            return " or ".join(condition_text(part) for part in parts)
        case Not(not_=part):
            return f"not ({condition_text(part)})"
        case AttributeIs(attribute=path) | PropertyIs(property=path):
            value = "" if condition.value is None else f" {_value_text(condition.value)}"
            return f"{path} {condition.op.replace('_', ' ')}{value}"
        case InSegment(segment=key):
            return f"in {key}"
        case StepIs(step=step, status=status):
            return f"{step} {status}"
        case EventDone():
            within = f" within {duration_text(condition.within)}" if condition.within else ""
            count = condition.count
            once = count.op == "at_least" and count.value == 1
            often = "" if once else f" {count.op.replace('_', ' ')} {count.value} times"
            return f"did {condition.event}{often}{within}"


def _value_text(value: Any) -> str:
    if isinstance(value, dict) and len(value) == 1:
        ((source, path),) = value.items()
        return f"the {source}'s {path}"
    return str(value)


# Stories in code: the source tells which steps come after which, and under which conditions.


def _told(code: type[Journey[Any]]) -> list[Box]:
    return _Reader(code).method("story")


class _Reader:
    """Reads the statements of a story; helper methods of the class are read in their place."""

    def __init__(self, code: type[Journey[Any]]) -> None:
        self._code = code
        self._names = {name: step for base in reversed(code.__mro__) for name, step in vars(base).items()}
        self._reading: list[str] = []

    def method(self, name: str) -> list[Box]:
        """The boxes of a method's body."""
        if name in self._reading:
            return [Box("loop", f"{name} again")]
        source = textwrap.dedent(inspect.getsource(getattr(self._code, name)))
        function = ast.parse(source).body[0]
        self._reading.append(name)
        boxes = self._block(function.body) if isinstance(function, ast.AsyncFunctionDef) else []
        self._reading.pop()
        return boxes

    def _block(self, statements: Sequence[ast.stmt]) -> list[Box]:
        boxes: list[Box] = []
        for statement in statements:
            boxes += self._statement(statement)
            if boxes and boxes[-1].ends:
                break
        return boxes

    def _statement(self, statement: ast.stmt) -> list[Box]:
        match statement:
            case ast.If():
                return self._choice(statement)
            case ast.While() | ast.For() | ast.AsyncFor():
                return self._loop(statement)
            case ast.Match():
                ways = [(ast.unparse(case.pattern), self._block(case.body)) for case in statement.cases]
                return [*self._steps_in(statement.subject), *self._with_ways(statement.subject, ways)]
            case ast.Try():
                return [*self._block(statement.body), *self._block(statement.finalbody)]
            case ast.With() | ast.AsyncWith():
                return self._block(statement.body)
            case ast.Return():
                steps = self._steps_in(statement.value) if statement.value else []
                return [*steps, Box("exit", "end")]
            case _:
                return self._steps_in(statement)

    def _choice(self, statement: ast.If) -> list[Box]:
        """An if with its elifs, as far as these ask no step of their own."""
        first = self._steps_in(statement.test)
        ways = [(self._text(statement.test), self._block(statement.body))]
        rest = statement.orelse
        while len(rest) == 1 and isinstance(rest[0], ast.If) and not self._steps_in(rest[0].test):
            ways.append((self._text(rest[0].test), self._block(rest[0].body)))
            rest = rest[0].orelse
        ways.append(("otherwise", self._block(rest)))
        if not any(block for _, block in ways):
            return first
        return [*first, *self._with_ways(statement.test, ways)]

    def _with_ways(self, test: ast.AST, ways: list[tuple[str, list[Box]]]) -> list[Box]:
        return [Box("choice", "", [], ways)] if any(block for _, block in ways) else []

    def _loop(self, statement: "ast.While | ast.For | ast.AsyncFor") -> list[Box]:
        test = statement.test if isinstance(statement, ast.While) else statement.iter
        body = [*(self._steps_in(test) if isinstance(statement, ast.While) else []), *self._block(statement.body)]
        if not body:
            return []
        words = "while " if isinstance(statement, ast.While) else f"for {ast.unparse(statement.target)} in "
        return [Box("loop", words + self._text(test), [], [("each time", body)])]

    def _steps_in(self, node: ast.AST) -> list[Box]:
        """The steps that the expression awaits, in their order; a helper method's in its place."""
        boxes: list[Box] = []
        for call in (one.value for one in _awaits(node) if isinstance(one.value, ast.Call)):
            function = call.func
            if not isinstance(function, ast.Attribute) or not isinstance(function.value, ast.Name):
                continue
            if function.attr in VERBS and call.args and isinstance(call.args[0], ast.Attribute):
                step = self._names[call.args[0].attr].model
                boxes.append(Box(step.type, step.id, list(step_lines(step))))
            elif function.attr not in VERBS and function.value.id == "self":
                boxes += self.method(function.attr)
        return boxes

    def _text(self, node: ast.AST) -> str:
        """The source of a condition, with the step's name in place of the call."""
        return ast.unparse(_Short().visit(ast.parse(ast.unparse(node), mode="eval"))).replace("self.", "")


def _awaits(node: ast.AST) -> Iterator[ast.Await]:
    """In the order in which they are written."""
    found = [one for one in ast.walk(node) if isinstance(one, ast.Await)]
    yield from sorted(found, key=lambda one: (one.lineno, one.col_offset))


class _Short(ast.NodeTransformer):
    def visit_Await(self, node: ast.Await) -> ast.AST:
        """`await self.wait_for(self.reaction)` reads `reaction`."""
        call = node.value
        if isinstance(call, ast.Call) and call.args and isinstance(call.args[0], ast.Attribute):
            return ast.Name(call.args[0].attr)
        return node
