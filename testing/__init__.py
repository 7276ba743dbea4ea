"""Tests of journeys that read as stories: months pass in seconds, on Temporal's time-skipping server.

async with telling(AbandonedCart) as story:
    await story.enters({"email": "ann@example.com"}, {"order_id": "o-1", "total": 45})
    await story.after(days(1))
    await story.track("Help Requested")
    assert await story.ends() == "completed"
    assert story.sent() == [("reminder", hours(1)), ("call-back", days(1))]
"""

from campaigns.testing.stage import telling
from campaigns.testing.story import Sent, Story
from campaigns.testing.time_skipping import Unavailable

__all__ = ["Sent", "Story", "Unavailable", "telling"]
