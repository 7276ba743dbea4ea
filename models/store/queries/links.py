"""Where tracked links lead."""

from collections.abc import Mapping

from sqlalchemy import select

from campaigns.models.store.database import Connection
from campaigns.models.store.queries.statements import insert
from campaigns.models.store.tables import Link


async def add(connection: Connection, links: Mapping[str, str]) -> None:
    """Keeps where links lead, by their ids."""
    rows = [{"id": link_id, "url": url} for link_id, url in sorted(links.items())]
    if rows:
        await connection.execute(insert(connection, Link).on_conflict_do_nothing(), rows)


async def url_of(connection: Connection, link_id: str) -> str | None:
    """Where the link leads."""
    return (await connection.execute(select(Link.url).where(Link.id == link_id))).scalar_one_or_none()
