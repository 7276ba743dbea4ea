"""One passage of an entry through a message step: what all of delivery is about."""

from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b

from campaigns.activities.contract import StepTask
from campaigns.models.channels import CHANNELS
from campaigns.models.journey.definition import Definition
from campaigns.models.journey.steps import MessageBase


@dataclass(frozen=True)
class Passage:
    """The step, the definition that it stands in, and the entry that passes it."""

    task: StepTask
    definition: Definition
    step: MessageBase

    @classmethod
    def of(cls, task: StepTask, definition: Definition) -> "Passage":
        """Return the passage of the task. Raise TypeError where its step is no message."""
        step = definition.steps_by_id[task.step]
        if not isinstance(step, MessageBase):
            raise TypeError(f"{task.step} is not a message")
        return cls(task, definition, step)

    @property
    def entry_id(self) -> str:
        """The entry's id."""
        return self.task.entry.entry_id

    @cached_property
    def message_id(self) -> str:
        """The identity of its one message.

        It is made of the passage itself, so that all who try, at once or after a crash, know the message by one id.
        """
        identity = "\n".join((self.entry_id, self.task.step, str(self.task.repetition)))
        return blake2b(identity.encode(), digest_size=16).hexdigest()

    @property
    def is_marketing(self) -> bool:
        """Whether consent, quiet hours and caps hold for it."""
        return self.step.category == "marketing"

    @property
    def reaches_person(self) -> bool:
        """Whether it goes to an address of the customer's, rather than to another service."""
        return CHANNELS[self.step.channel].address is not None
