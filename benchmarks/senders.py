"""Messages a second through our senders, as a ratio to the bare client on kept connections in the same run.

`make bench-senders`, or `python -m benchmarks.senders --messages 2000`.
"""

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from email.message import EmailMessage
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import aiosmtplib
from tests.support.providers import Providers, running_providers

from campaigns.activities.senders.base import Accepted, Outgoing
from campaigns.activities.senders.smtp import SmtpSender
from campaigns.activities.senders.twilio.send import TwilioSender
from campaigns.models.settings import SmtpServer

CLIENTS = 10
TEXT = "Hello, this is about as long as a message is. " * 3


async def rate(messages: int, send: Callable[[int, int], Awaitable[object]]) -> float:
    """How many a second, by some clients at once."""
    left = iter(range(messages))

    async def client(number: int) -> None:
        for index in left:
            await send(number, index)

    began = time.perf_counter()
    await asyncio.gather(*(client(number) for number in range(CLIENTS)))
    return messages / (time.perf_counter() - began)


async def smtp(providers: Providers, messages: int) -> None:
    """Mail by SMTP against aiosmtplib, one kept connection a client."""
    sender = SmtpSender(SmtpServer(f"smtp://127.0.0.1:{providers.smtp_port}?starttls=never"), "Shop <shop@example.com>")

    async def ours(_: int, index: int) -> None:
        mail = Outgoing(
            f"m{index}", f"c{index}@example.com", subject="Hello", text=TEXT, unsubscribe_url="https://a.example/u/1"
        )
        if not isinstance(await sender.send(mail), Accepted):
            raise AssertionError("not accepted")

    found = await rate(messages, ours)
    await sender.close()
    connections = [
        aiosmtplib.SMTP(hostname="127.0.0.1", port=providers.smtp_port, start_tls=False) for _ in range(CLIENTS)
    ]
    for connection in connections:
        await connection.connect()

    async def bare(number: int, index: int) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "shop@example.com", f"c{index}@example.com", "Hello"
        mail.set_content(TEXT)
        await connections[number].send_message(mail)

    least = await rate(messages, bare)
    for connection in connections:
        connection.close()
    print(f"SMTP:   {found:6.0f} mails/s, aiosmtplib itself {least:6.0f}/s, ratio {found / least:.2f}")


async def twilio(providers: Providers, messages: int) -> None:
    """Texts by Twilio's API against one aiohttp session."""
    url = f"http://127.0.0.1:{providers.twilio_port}"
    sender = TwilioSender(providers.sid, providers.token, "+12025550100", url)

    async def ours(_: int, index: int) -> None:
        if not isinstance(await sender.send(Outgoing(f"m{index}", "+12025550123", text=TEXT)), Accepted):
            raise AssertionError("not accepted")

    found = await rate(messages, ours)
    await sender.close()
    form = {"To": "+12025550123", "From": "+12025550100", "Body": TEXT}
    auth = aiohttp.BasicAuth(providers.sid, providers.token)
    path = f"{url}/2010-04-01/Accounts/{providers.sid}/Messages.json"
    async with aiohttp.ClientSession(auth=auth) as session:

        async def bare(_: int, __: int) -> None:
            async with session.post(path, data=form) as answer:
                await answer.read()

        least = await rate(messages, bare)
    print(f"Twilio: {found:6.0f} texts/s, aiohttp itself    {least:6.0f}/s, ratio {found / least:.2f}")


async def main(messages: int) -> None:
    """Both, in one run; the receivers share the process and its core."""
    with TemporaryDirectory() as directory:
        async with running_providers(Path(directory)) as providers:
            await smtp(providers, messages)
            await twilio(providers, messages)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--messages", type=int, default=2000)
    asyncio.run(main(parser.parse_args().messages))
