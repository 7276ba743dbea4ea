"""Erasure: the customer goes, what was counted stays, and so does what they have unsubscribed from."""

from campaigns.models import dispatch
from campaigns.models.addresses import address_of
from campaigns.models.channels import ConsentStatus
from campaigns.models.entry import EndedBy, EntryStatus
from campaigns.models.signing import Signing
from campaigns.models.store.database import Connection
from campaigns.models.store.queries import consents, customers, decisions, entries, erasures
from campaigns.models.values import Json, utc_now
from campaigns.starter.outbox import Outbox


class Erasures:
    """Erases customers."""

    def __init__(self, outbox: Outbox, signing: Signing) -> None:
        self._outbox = outbox
        self._signing = signing

    async def erase(self, customer_id: str) -> bool:
        """Erase the customer's rows, running entries and executions in Temporal; return False for an unknown one."""
        async with self._outbox.transaction() as unit:
            connection, now = unit.connection, utc_now()
            attributes = await customers.lock(connection, customer_id)
            if attributes is None:
                return False
            theirs = await entries.of_customer(connection, customer_id)
            for entry_id, status in theirs:
                if status == EntryStatus.RUNNING:
                    await entries.end(connection, entry_id, EntryStatus.EXITED, EndedBy.ERASED, now)
            await entries.make_anonymous(connection, [entry_id for entry_id, _ in theirs])
            await consents.keep_opt_outs(connection, await self._opt_outs(connection, customer_id, attributes))
            await decisions.make_anonymous(connection, customer_id)
            await erasures.erase_customer(connection, customer_id, self._signing.hash("customer", customer_id), now)
            unit.owe(*(dispatch.erase(entry_id) for entry_id, _ in theirs))
        return True

    async def _opt_outs(self, connection: Connection, customer_id: str, attributes: Json) -> list[Json]:
        """Return what the customer has unsubscribed from, by the hashes of their id and of their addresses."""
        rows = []
        for consent in await consents.of_customer(connection, customer_id):
            if consent.status != ConsentStatus.UNSUBSCRIBED:
                continue
            kept = {"channel": consent.channel, "topic": consent.topic, "source": consent.source, "at": consent.at}
            rows.append({**kept, "subject_hash": self._signing.hash("customer", customer_id)})
            address = address_of(consent.channel, attributes)
            if isinstance(address, str):
                rows.append({**kept, "subject_hash": self._signing.address_hash(consent.channel, address)})
        return rows
