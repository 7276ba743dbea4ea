"""What activities and timers of an entry are called."""

from campaigns.activities.delivery.activity import DeliveryActivities
from campaigns.workflows.runtime import Visit


def test_an_activity_id_says_step_method_and_repetition():
    assert Visit("reminder", 2).activity_id(DeliveryActivities.send_message) == "reminder.send_message.2"


def test_the_longest_id_of_a_step_is_within_temporals_limits():
    visit = Visit("🙂" * 255, 1)
    assert len(visit.activity_id(DeliveryActivities.send_message).encode()) < 1000
    assert visit.activity_id(DeliveryActivities.send_message).endswith(".send_message.1")
    assert len(visit.summary.encode()) <= 200
