"""One message of one step, whatever fails: the claim, the retries, the unknown outcome."""

import asyncio
import base64
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest
from sqlalchemy import update
from temporalio.exceptions import ApplicationError
from temporalio.testing import ActivityEnvironment

from campaigns.activities.contract import EntryRef, StepTask
from campaigns.activities.delivery.activity import DeliveryActivities
from campaigns.models.dispatch import DispatchRow
from campaigns.models.store.tables import Message
from campaigns.models.values import utc_now
from campaigns.workers.senders import make_senders
from tests.support.product import Product, Starter, until

MAIL = {"id": "mail", "type": "email", "subject": "Hello", "text": "Hello"}
TEXT = {"id": "text", "type": "sms", "body": "Hello"}


@pytest.fixture
async def starter(product: Product) -> Starter:
    starter = await product.starter()
    await starter.customer("ann")
    return starter


async def enter(starter: Starter, step: dict, **fields) -> str:
    await starter.campaign("c", steps=[step], **fields)
    return (await starter.track("ann", "c"))["decisions"][0]["entry_id"]


async def step_statistics(starter: Starter) -> dict:
    return (await starter.until_ended("c", timeout=60))["steps"][0]


async def test_deferred_mail_is_tried_again_within_two_seconds(product: Product, starter: Starter):
    product.providers.mail_faults += ["451 ann@example.com later", "rcpt 450 ann@example.com is busy", "drop before"]
    async with product.worker():
        entry_id = await enter(starter, MAIL)
        step = await step_statistics(starter)
    assert (step["completed"], step["messages"]["sent"]) == (1, 1)
    (mail,) = product.providers.mails
    timeline = (await starter.call("GET", f"/v1/entries/{entry_id}"))["timeline"]
    assert timeline[-2]["detail"] == "sent, after 4 attempts"
    assert mail["Message-ID"].startswith("<")
    history = (await product.client.get_workflow_handle(f"entry-{entry_id}").fetch_history()).to_json()
    payloads = re.findall(r'"data": *"([^"]+)"', history)
    assert "ann@" not in history + "".join(base64.b64decode(payload).decode(errors="replace") for payload in payloads)


async def test_a_line_that_breaks_in_the_data_is_unknown_and_not_sent_again(product: Product, starter: Starter):
    product.providers.mail_faults.append("drop")
    async with product.worker():
        await enter(starter, MAIL)
        step = await step_statistics(starter)
    assert (step["completed"], step["messages"]["unknown"], step["messages"]["sent"]) == (1, 1, 0)
    assert len(product.providers.mails) == 1


async def test_a_refused_mail_has_failed_and_the_entry_goes_on(product: Product, starter: Starter):
    product.providers.mail_faults.append("rcpt 550 no such user")
    async with product.worker():
        await enter(starter, MAIL)
        step = await step_statistics(starter)
    assert step["failed"] == 1
    assert (await starter.statistics("c"))["entries"]["completed"] == 1


async def test_on_failure_exit(product: Product, starter: Starter):
    product.providers.mail_faults.append("554 refused")
    async with product.worker():
        await enter(starter, {**MAIL, "on_failure": "exit"})
        step = await step_statistics(starter)
    assert step["failed"] == 1
    assert (await starter.entries("c"))[0]["ended_by"] == "failure"


async def test_text_messages_under_faults(product: Product, starter: Starter):
    product.providers.text_faults += [429, 429]
    async with product.worker():
        await enter(starter, TEXT)
        step = await step_statistics(starter)
    assert step["messages"]["sent"] == len(product.providers.texts) == 1


@pytest.mark.parametrize(
    ("step", "attributes", "outcome"),
    [
        (MAIL, {"email": None}, {"skipped": {"no_address": 1}}),
        (TEXT, {"phone": None}, {"skipped": {"no_address": 1}}),
        (TEXT, {"phone": "12"}, {"failed": 1}),
        ({**TEXT, "body": "{{ 1 | divided_by: customer.zero }}"}, {"zero": 0}, {"failed": 1}),
    ],
    ids=["no mail address", "no phone", "an impossible phone", "a text that cannot be rendered"],
)
async def test_what_stops_a_message_is_an_outcome(product: Product, starter: Starter, step, attributes, outcome):
    await starter.customer("ann", **attributes)
    async with product.worker():
        await enter(starter, step)
        found = await step_statistics(starter)
    assert found | outcome == found
    assert (product.providers.mails, product.providers.texts) == ([], [])


async def test_a_suppressed_address_gets_nothing_transactional_either(product: Product, starter: Starter):
    from campaigns.models.store.queries import suppressions

    parts = starter.parts
    async with parts.database.write() as connection:
        hashed = parts.signing.hash("email", "ann@example.com")
        await suppressions.add(connection, "email", hashed, "hard bounce", utc_now())
    await starter.customer("ann", email="Ann@Example.com")
    async with product.worker():
        await enter(starter, {**MAIL, "category": "transactional"})
        step = await step_statistics(starter)
    assert step["skipped"] == {"suppressed": 1}


@asynccontextmanager
async def deliveries(product: Product, starter: Starter) -> AsyncIterator[Callable[[str], Awaitable[str]]]:
    """What a worker's activity answers for an entry's mail, without a worker."""
    senders = make_senders(product.settings)
    parts = starter.parts
    delivery = DeliveryActivities(parts.database, parts.definitions, senders, parts.signing, "http://campaigns.test")

    async def attempt(entry_id: str) -> str:
        task = StepTask(EntryRef(entry_id, "c", 1), "mail", 1, utc_now())
        try:
            return (await ActivityEnvironment().run(delivery.send_message, task)).status
        except ApplicationError as error:
            return str(error.type)

    yield attempt
    for sender in senders.values():
        await sender.close()


async def cut_off(product: Product, attempt: Awaitable[str]) -> None:
    """The attempt dies when the provider has the message, and has not answered."""
    product.providers.mail_faults.append("stall")
    dying = asyncio.ensure_future(attempt)

    async def taken() -> bool:
        return bool(product.providers.mails)

    await until(taken)
    dying.cancel()
    with suppress(asyncio.CancelledError):
        await dying
    product.providers.let_go()


@pytest.mark.parametrize(("category", "sends"), [("marketing", 1), ("transactional", 2)])
async def test_an_attempt_that_was_cut_off(product: Product, category: str, sends: int):
    """A worker dies in the middle of an attempt: marketing is not sent again, and the record says so; transactional
    is, under the same identity."""
    starter = await product.starter(dispatching=False)
    await starter.customer("ann")
    entry_id = await enter(starter, {**MAIL, "category": category})
    assert await starter.parts.relay.act(DispatchRow("start", "start", entry_id, {}))
    async with deliveries(product, starter) as attempt:
        await cut_off(product, attempt(entry_id))
        # Until the attempt can no longer be under way, nobody takes its place.
        assert await attempt(entry_id) == "NotSent"
        async with starter.parts.database.write() as connection:
            await connection.execute(update(Message).values(attempt_ends_at=utc_now() - timedelta(seconds=1)))
    async with product.worker():
        step = await step_statistics(starter)
    assert step["completed"] == 1
    assert step["messages"]["sent" if sends == 2 else "unknown"] == 1
    assert len(product.providers.mails) == sends
    assert len({mail["Message-ID"] for mail in product.providers.mails}) == 1


async def test_many_attempts_at_once_send_once(product: Product):
    """The same activity runs many times at once, as after time-outs whose workers still live."""
    starter = await product.starter(dispatching=False)
    await starter.customer("ann")
    entry_id = await enter(starter, MAIL)
    async with deliveries(product, starter) as attempt:
        results = await asyncio.gather(*(attempt(entry_id) for _ in range(20)))
        assert set(results) <= {"sent", "NotSent"}
        assert await attempt(entry_id) == "sent"
    assert len(product.providers.mails) == 1


async def test_an_exit_in_the_middle_of_an_attempt_that_was_cut_off(product: Product):
    """The message may have gone out, so its record says unknown, whatever ended the entry."""
    starter = await product.starter(dispatching=False)
    await starter.customer("ann")
    entry_id = await enter(starter, MAIL, goal={"event": "Bought"})
    start = DispatchRow("start", "start", entry_id, {})
    assert await starter.parts.relay.act(start)
    async with deliveries(product, starter) as attempt:
        await cut_off(product, attempt(entry_id))
    await starter.track("ann", "Bought")
    starter = await product.starter()
    async with product.worker():
        statistics = await starter.until_ended("c", timeout=60)
    step = statistics["steps"][0]
    assert (statistics["entries"]["exited"], statistics["entries"]["converted"]) == (1, 1)
    assert (step["completed"], step["messages"]["unknown"]) == (1, 1)
    assert len(product.providers.mails) == 1


async def test_one_provider_that_does_not_answer_delays_no_other(product: Product, starter: Starter):
    """Text messages stall for as long as it takes, forty of them; mails go out meanwhile."""
    product.providers.text_faults += ["stall"] * 4_000
    await starter.campaign("texts", frequency={"type": "every_time"}, entry_key="properties.n", steps=[TEXT])
    await starter.campaign("c", steps=[MAIL])
    async with product.worker():
        await asyncio.gather(*(starter.track("ann", "texts", {"n": n}) for n in range(40)))
        await starter.track("ann", "c")
        statistics = await starter.until_ended("c", timeout=60)
        assert statistics["steps"][0]["messages"]["sent"] == 1
        assert (await starter.statistics("texts"))["entries"]["running"] == 40
        await starter.call("POST", "/v1/campaigns/texts/stop")
        product.providers.let_go()
