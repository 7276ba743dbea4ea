"""The search attributes of every entry."""

from temporalio.api.enums.v1 import IndexedValueType
from temporalio.api.operatorservice.v1 import AddSearchAttributesRequest
from temporalio.client import Client
from temporalio.common import SearchAttributeKey, SearchAttributePair, TypedSearchAttributes
from temporalio.service import RPCError, RPCStatusCode

from campaigns.workflows.contract import EntryInput

CAMPAIGN_KEY = SearchAttributeKey.for_keyword("CampaignKey")
CUSTOMER_ID = SearchAttributeKey.for_keyword("CustomerId")
CAMPAIGN_VERSION = SearchAttributeKey.for_int("CampaignVersion")


def of_entry(entry: EntryInput) -> TypedSearchAttributes:
    """The search attributes of one entry."""
    return TypedSearchAttributes(
        [
            SearchAttributePair(CAMPAIGN_KEY, entry.campaign),
            SearchAttributePair(CUSTOMER_ID, entry.customer_id),
            SearchAttributePair(CAMPAIGN_VERSION, entry.version),
        ]
    )


async def register(client: Client) -> str | None:
    """Registers what is missing; a warning where that is not allowed, as on Temporal Cloud."""
    keyword = IndexedValueType.INDEXED_VALUE_TYPE_KEYWORD
    kinds = {"CampaignKey": keyword, "CustomerId": keyword, "CampaignVersion": IndexedValueType.INDEXED_VALUE_TYPE_INT}
    request = AddSearchAttributesRequest(namespace=client.namespace, search_attributes=kinds)
    try:
        await client.operator_service.add_search_attributes(request)
    except RPCError as error:
        if error.status != RPCStatusCode.ALREADY_EXISTS:
            return f"search attributes could not be registered ({error.message}); please add {', '.join(kinds)}"
    return None
