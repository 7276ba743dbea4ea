"""A real Segment library talks to a running starter."""

import asyncio

import segment.analytics

from tests.support.product import WRITE_KEY, Product


async def test_segment_analytics_python(product: Product):
    starter = await product.starter()
    await starter.campaign("welcome", trigger={"type": "event", "event": "Signed Up"}, steps=[{"type": "exit"}])
    failures = []

    def send(gzip: bool) -> None:
        library = segment.analytics.Client(
            WRITE_KEY, host=starter.url, on_error=lambda error, _: failures.append(error), gzip=gzip, max_retries=1
        )
        user = f"ann-{gzip}"
        library.identify(user, {"email": f"{user}@example.com", "plan": "pro"})
        library.track(user, "Signed Up", {"source": "web"})
        library.page(user, "Docs", "Start")
        library.screen(user, "Home")
        library.group(user, "acme", {"name": "Acme"})
        library.alias("old", user)
        library.shutdown()

    for gzip in (False, True):
        await asyncio.to_thread(send, gzip)
        customer = await starter.call("GET", f"/v1/customers/ann-{gzip}")
        assert (customer["email"], customer["plan"]) == (f"ann-{gzip}@example.com", "pro")
        decisions = await starter.call("GET", f"/v1/customers/ann-{gzip}/decisions")
        assert [(one["campaign"], one["outcome"]) for one in decisions["decisions"]] == [("welcome", "entered")]
    assert failures == []
