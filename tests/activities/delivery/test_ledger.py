"""What is recorded of messages, whatever comes between: one identity, no doubt forgotten, consent as it is at the claim."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import OperationalError
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from campaigns.activities.contract import EntryRef, SendResult, StepTask
from campaigns.activities.delivery.activity import DeliveryActivities
from campaigns.activities.delivery.drafts import Drafting
from campaigns.activities.senders.base import Accepted, NotSent, Outgoing, Refused, Result, Unknown
from campaigns.models.store.queries import entries, steps
from campaigns.models.store.tables import Entry, Message
from campaigns.models.values import utc_now
from tests.support.product import Product, Starter

MAIL = {"id": "mail", "type": "email", "subject": "Hello", "text": "Hello"}


class Provider:
    """Answers what it is told to, message by message, and keeps what it was given."""

    def __init__(self, *answers: Result) -> None:
        self.answers = list(answers)
        self.taken: list[Outgoing] = []
        self.before: Callable[[], Any] | None = None

    async def send(self, outgoing: Outgoing) -> Result:
        self.taken.append(outgoing)
        if self.before:
            await self.before()
        return self.answers.pop(0) if self.answers else Accepted("p-1")

    async def close(self) -> None:
        return


class Delivery:
    """The activities of a worker, and an entry that is at its message."""

    def __init__(self, starter: Starter, entry_id: str, provider: Provider) -> None:
        parts = starter.parts
        self.database = parts.database
        self.activities = DeliveryActivities(
            parts.database, parts.definitions, {"email": provider, "webhook": provider}, parts.signing, "http://c.test"
        )
        self.task = StepTask(EntryRef(entry_id, "c", 1), "mail", 1, utc_now(), is_last=True)

    async def send(self) -> str:
        try:
            return (await ActivityEnvironment().run(self.activities.send_message, self.task)).status
        except ApplicationError as error:
            return str(error.type)

    async def give_up(self) -> SendResult:
        return await ActivityEnvironment().run(self.activities.give_up_message, self.task)

    async def message(self) -> Any:
        statement = select(Message.id, Message.status, Message.error, Message.provider_id, Message.attempt)
        async with self.database.read() as connection:
            return (await connection.execute(statement)).one_or_none()

    async def exposed(self) -> bool:
        async with self.database.read() as connection:
            return (await connection.execute(select(Entry.exposed_at))).scalar_one() is not None

    async def outcomes(self) -> list[tuple[str, str | None]]:
        async with self.database.read() as connection:
            return [(row.outcome, row.reason) for row in await steps.timeline(connection, self.task.entry.entry_id)]


async def delivery(product: Product, provider: Provider, **step: Any) -> tuple[Starter, Delivery]:
    starter = await product.starter(dispatching=False)
    await starter.customer("ann")
    await starter.campaign("c", steps=[{**MAIL, **step}])
    entry_id = (await starter.track("ann", "c"))["decisions"][0]["entry_id"]
    return starter, Delivery(starter, entry_id, provider)


@pytest.mark.parametrize("category", ["marketing", "transactional"])
async def test_overlapping_attempts_have_one_identity(product: Product, category: str, monkeypatch: pytest.MonkeyPatch):
    """The second has read that nothing was claimed, when the first claims and is deferred: it sends under the same id."""
    provider = Provider(NotSent("451 later"))
    _, attempts = await delivery(product, provider, category=category)
    render, reached, free = Drafting.render, asyncio.Event(), asyncio.Event()

    async def render_late(self: Drafting, draft: Any) -> Any:
        reached.set()
        await free.wait()
        return await render(self, draft)

    monkeypatch.setattr(Drafting, "render", render_late)
    second = asyncio.ensure_future(attempts.send())
    await reached.wait()
    monkeypatch.setattr(Drafting, "render", render)
    assert await attempts.send() == "NotSent"
    free.set()
    assert await second == "sent"
    row = await attempts.message()
    assert (row.status, row.attempt) == ("sent", 2)
    assert [outgoing.message_id for outgoing in provider.taken] == [row.id, row.id]


async def test_nothing_settles_the_message_of_an_attempt_that_is_under_way(product: Product, monkeypatch):
    """The second comes to its claim when the first is at the provider, and consent was withdrawn meanwhile."""
    provider = Provider()
    starter, attempts = await delivery(product, provider)
    render, reached, free = Drafting.render, asyncio.Event(), asyncio.Event()

    async def render_late(self: Drafting, draft: Any) -> Any:
        reached.set()
        await free.wait()
        return await render(self, draft)

    monkeypatch.setattr(Drafting, "render", render_late)
    second = asyncio.ensure_future(attempts.send())
    await reached.wait()
    monkeypatch.setattr(Drafting, "render", render)
    answers = []

    async def withdraw() -> None:
        said = {"channel": "email", "status": "unsubscribed", "source": "a letter"}
        await starter.call("PUT", "/v1/customers/ann/consents", said)
        free.set()
        answers.append(await second)

    provider.before = withdraw
    assert await attempts.send() == "sent"
    assert answers == ["NotSent"]
    assert ((await attempts.message()).status, len(provider.taken)) == ("sent", 1)
    assert await attempts.outcomes() == [("completed", None)]
    # Whoever comes later hears what came of it, whatever speaks against another one now.
    assert await attempts.send() == "sent"


@pytest.mark.parametrize(
    ("change", "category", "reason"),
    [
        ("unsubscribed", "marketing", "unsubscribed"),
        ("suppressed", "transactional", "suppressed"),
        ("opted_out", "marketing", "unsubscribed"),
    ],
)
async def test_consent_is_what_it_is_at_the_claim(
    product: Product, change: str, category: str, reason: str, monkeypatch
):
    provider = Provider()
    starter, attempt = await delivery(product, provider, category=category)
    render, parts = Drafting.render, starter.parts

    async def render_while_ann_leaves(self: Drafting, draft: Any) -> Any:
        rendered = await render(self, draft)
        if change == "unsubscribed":
            said = {"channel": "email", "status": "unsubscribed", "source": "a letter"}
            await starter.call("PUT", "/v1/customers/ann/consents", said)
        else:
            from campaigns.models.store.queries import consents, suppressions

            hashed = parts.signing.address_hash("email", "ann@example.com")
            async with parts.database.write() as connection:
                if change == "suppressed":
                    await suppressions.add(connection, "email", hashed, "complaint", utc_now())
                else:
                    row = {"subject_hash": hashed, "channel": "email", "topic": "", "source": "link", "at": utc_now()}
                    await consents.keep_opt_outs(connection, [row])
        return rendered

    monkeypatch.setattr(Drafting, "render", render_while_ann_leaves)
    assert await attempt.send() == "skipped"
    assert await attempt.outcomes() == [("skipped", reason)]
    assert (provider.taken, await attempt.message(), await attempt.exposed()) == ([], None, False)


async def test_a_transactional_message_that_may_have_arrived_is_an_exposure(product: Product):
    provider = Provider(Unknown("no answer"), NotSent("451 later"), Refused("550 gone"))
    _, attempt = await delivery(product, provider, category="transactional")
    assert await attempt.send() == "NotSent"
    assert await attempt.exposed()
    # What comes of later attempts says nothing of the first.
    assert await attempt.send() == "NotSent"
    assert await attempt.exposed()
    assert await attempt.send() == "unknown"
    row = await attempt.message()
    assert (row.status, row.error) == ("unknown", "550 gone (it may have been sent)")
    assert await attempt.exposed()
    assert await attempt.outcomes() == [("completed", None)]


@pytest.mark.parametrize(("first", "status"), [(Unknown("no answer"), "unknown"), (NotSent("451 later"), "failed")])
async def test_when_the_retries_are_over(product: Product, first: Result, status: str):
    _, attempt = await delivery(product, Provider(first), category="transactional")
    assert await attempt.send() == "NotSent"
    assert (await attempt.give_up()).status == status
    assert ((await attempt.message()).status, await attempt.exposed()) == (status, status == "unknown")


async def test_what_speaks_against_another_attempt_unsends_nothing(product: Product):
    starter, attempt = await delivery(product, Provider(Unknown("no answer")), category="transactional")
    assert await attempt.send() == "NotSent"
    await starter.customer("ann", email=None)
    assert await attempt.send() == "unknown"
    assert ((await attempt.message()).status, await attempt.exposed()) == ("unknown", True)


async def test_a_callback_that_settles_a_message_exposes(product: Product):
    starter, attempt = await delivery(product, Provider(NotSent("451 later")))
    assert await attempt.send() == "NotSent"
    assert not await attempt.exposed()
    message = await attempt.message()
    await starter.parts.message_events.sent(message.id, "p-9")
    assert ((await attempt.message()).status, await attempt.exposed()) == ("sent", True)
    assert await attempt.send() == "sent"


async def test_a_database_that_fails_at_the_record(product: Product, monkeypatch: pytest.MonkeyPatch):
    """What the provider has said is known here and nowhere else: it is recorded as soon as that can be done."""
    provider = Provider()
    _, attempt = await delivery(product, provider)
    fails = [OperationalError("", {}, Exception("gone")), OSError("reset")]
    complete = entries.complete

    async def complete_at_last(*given: Any) -> bool:
        if fails:
            raise fails.pop()
        return await complete(*given)

    monkeypatch.setattr(entries, "complete", complete_at_last)
    assert await attempt.send() == "sent"
    assert (len(provider.taken), (await attempt.message()).status, fails) == (1, "sent", [])


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Accepted("id\0\udcff" * 200), "sent"), (Refused("550 \0 \udcff"), "failed"), (Unknown("\0\udcff" * 500), "unknown"),
        (Refused("550 \0 nobody", bad_address=True), "failed"),
    ],
)  # fmt: skip
async def test_foreign_words_can_be_kept(product: Product, answer: Result, status: str):
    provider = Provider(answer)
    starter, attempt = await delivery(product, provider)
    assert await attempt.send() == status
    assert (await attempt.message()).status == status
    assert len(provider.taken) == 1
    await starter.call("GET", f"/v1/entries/{attempt.task.entry.entry_id}")


@pytest.mark.parametrize("response", [{"a": "\0"}, {"a": float("inf")}, None, 5, "x"])
async def test_answers_of_webhooks(product: Product, response: Any):
    nested: Any = []
    for _ in range(300):
        nested = [nested]
    for answer in (response, nested):
        provider = Provider(Accepted(response=answer))
        starter = await product.starter(dispatching=False)
        await starter.customer("ann")
        key = f"c{id(answer)}"
        hook = {"id": "mail", "type": "webhook", "url": "https://x.example", "save_as": "answer"}
        await starter.campaign(key, steps=[hook])
        entry_id = (await starter.track("ann", key))["decisions"][0]["entry_id"]
        attempt = Delivery(starter, entry_id, provider)
        attempt.task = StepTask(EntryRef(entry_id, key, 1), "mail", 1, utc_now())
        assert await attempt.send() == "sent"
