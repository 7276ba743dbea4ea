"""Suppressions: which addresses get nothing more, why, and lifting one."""

from fastapi import APIRouter, Response

from campaigns.models.addresses import checked_address
from campaigns.models.channels import PERSONAL
from campaigns.models.problems import FieldError, Invalid
from campaigns.models.store.queries import suppressions
from campaigns.models.values import Json, iso
from campaigns.starter.composition import Parts, Services
from campaigns.starter.http.paging import Page
from campaigns.starter.http.problems import not_found
from campaigns.starter.routes.shapes.content import SuppressionPage

router = APIRouter(prefix="/v1/suppressions", tags=["suppressions"])


@router.get("", response_model=SuppressionPage)
async def list_suppressions(parts: Parts, page: Page, address: str | None = None) -> Json:
    """All suppressions, or those of one address, with why and since when."""
    hashes = None if address is None else _hashes(parts, address)
    async with parts.database.read() as connection:
        rows = await suppressions.page(connection, page.after(tuple[str, str]) or ("", ""), page.limit, hashes)
    listed = [
        {"id": f"{row.channel}.{row.address_hash}", "channel": row.channel, "reason": row.reason, "at": iso(row.at)}
        for row in rows
    ]
    return {"suppressions": listed, "next": page.next(rows, lambda row: [row.channel, row.address_hash])}


@router.delete("/{suppression_id}", status_code=204)
async def lift_suppression(suppression_id: str, parts: Parts) -> Response:
    """Lifts a suppression: the address gets messages again. What its owner has unsubscribed from stays."""
    channel, _, address_hash = suppression_id.partition(".")
    async with parts.database.write() as connection:
        if not await suppressions.lift(connection, channel, address_hash):
            raise not_found("suppression", suppression_id)
    return Response(status_code=204)


def _hashes(parts: Services, address: str) -> dict[str, str]:
    """The hash of the address on each channel on which it is one."""
    checked = {channel: checked_address(channel, address) for channel in PERSONAL}
    hashes = {name: parts.signing.address_hash(name, to) for name, to in checked.items() if isinstance(to, str) and to}
    if not hashes:
        raise Invalid([FieldError("address", "is no address on any channel")])
    return hashes
