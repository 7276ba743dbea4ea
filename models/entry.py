"""What may become of an entry, of its steps and of its messages: the values stand in the database and in answers."""

from enum import StrEnum


class EntryStatus(StrEnum):
    """Whether an entry runs, or how it ended."""

    RUNNING = "running"
    COMPLETED = "completed"
    EXITED = "exited"
    FAILED = "failed"


class EndedBy(StrEnum):
    """What ended an entry."""

    COMPLETED = "completed"
    EXIT_STEP = "exit_step"
    GOAL = "goal"
    LEFT_SEGMENT = "left_segment"
    STOPPED = "stopped"
    PREEMPTED = "preempted"
    ERASED = "erased"
    FAILURE = "failure"
    OPERATOR = "operator"
    TERMINATED = "terminated"


class StepState(StrEnum):
    """Where an entry is with a step, or what became of it."""

    WAITING = "waiting"
    COMPLETED = "completed"
    SKIPPED = "skipped"
    FAILED = "failed"
    EXITED = "exited"


class MessageStatus(StrEnum):
    """Where a message is, or what became of it."""

    SENDING = "sending"
    """An attempt is under way, or was cut off."""
    RETRY = "retry"
    """It is known not to be sent, and will be tried again."""
    SENT = "sent"
    UNKNOWN = "unknown"
    """It may have been sent, and is not tried again."""
    FAILED = "failed"
