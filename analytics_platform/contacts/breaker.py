"""When a service that fails again and again is left alone.

Belongs here: counting, and the moment until which nothing is sent. Does not: what counts as a failure (only
`ContactsBusyError` does: a refused contact says nothing about the service), keeping the moment between runs.
"""

from datetime import datetime, timedelta


class Breaker:
    """Opens at the `threshold`-th failure in a row, for `open_seconds`.

    Once that is over it lets through: a success closes it, another failure opens it anew, as the row was not broken.
    Moments are aware.
    """

    def __init__(self, threshold: int = 5, open_seconds: float = 60, *, open_until: datetime | None = None) -> None:
        """`open_until`: what an earlier process left; None when it was closed. ValueError for limits below 1."""
        if threshold < 1 or open_seconds < 1:
            raise ValueError(f"a breaker needs a threshold and seconds of 1 or more, not {threshold}, {open_seconds:g}")
        self._threshold, self._length = threshold, timedelta(seconds=open_seconds)
        self._open_until = open_until
        # Whoever left it open had that many failures behind it.
        self._failures = threshold - 1 if open_until else 0

    @property
    def open_until(self) -> datetime | None:
        """Until when nothing is sent, past moments included; None after a success."""
        return self._open_until

    @property
    def failures(self) -> int:
        """How many there were since the last success."""
        return self._failures

    def succeeded(self) -> None:
        """The service did what it was asked, or refused it in so many words."""
        self._failures, self._open_until = 0, None

    def failed(self, now: datetime, retry_after_seconds: float | None = None) -> bool:
        """The service was busy; whether the breaker is open now, for `retry_after_seconds` where the service asked for
        longer.
        """
        self._failures += 1
        if self._failures >= self._threshold:
            self._open_until = now + max(self._length, timedelta(seconds=retry_after_seconds or 0))
        return self.is_open(now)

    def is_open(self, now: datetime) -> bool:
        """Whether nothing is to be sent at that moment."""
        return self._open_until is not None and now < self._open_until
