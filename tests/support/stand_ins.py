"""Activities that touch nothing: they answer at once, and note what they were asked."""

from temporalio import activity

from campaigns.activities.contract import EndTask, EntryRef, SendResult, StepReport, StepTask


class StandIns:
    """What the workflow of an entry calls, for tests of the workflow alone."""

    def __init__(self) -> None:
        self.sent: list[StepTask] = []
        self.reports: list[StepReport] = []
        self.results: list[SendResult] = []
        """What the next messages come to, rather than `sent`."""
        self.ended = ""

    @property
    def activities(self) -> list:
        return [self.send_message, self.begin_delay, self.begin_wait, self.end_entry]

    @activity.defn(name="send_message")
    async def send_message(self, task: StepTask) -> SendResult:
        self.reports += task.entry.reports
        if self.results:
            return self.results.pop(0)
        self.sent.append(task)
        return SendResult("sent", begun=task.next_delay.step if task.next_delay else None, completed=task.is_last)

    @activity.defn(name="begin_delay")
    async def begin_delay(self, entry: EntryRef) -> None:
        self.reports += entry.reports

    @activity.defn(name="begin_wait")
    async def begin_wait(self, entry: EntryRef) -> None:
        self.reports += entry.reports

    @activity.defn(name="end_entry")
    async def end_entry(self, task: EndTask) -> None:
        self.reports += task.entry.reports
        self.ended = f"{task.status}: {task.ended_by}"

    def outcomes(self, step: str) -> list[tuple[str, str | None]]:
        return [(report.outcome, report.reason) for report in self.reports if report.step == step]
