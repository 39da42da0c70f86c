"""The rules with one mistake each, and the invariant that the mistake breaks.

They are mistakes that job systems have made. The search must find each of
them: a model in which a mistake does no harm would not show that its absence does good.
"""

from __future__ import annotations

from typing import NamedTuple

from .rules import Rules


class Bug(NamedTuple):
    """A mistake, the invariant that it breaks, and how."""

    rules: Rules
    breaks: str
    how: str


BUGS = {
    # What a write asks for.
    "finish without token": Bug(Rules(finish_asks_token=False), "I4", "an old holder ends a new attempt"),
    "start without token": Bug(Rules(start_asks_token=False), "I4", "an old holder starts a new claim"),
    "release without token": Bug(Rules(release_asks_token=False), "I4", "a late one takes the job from another"),
    "extend without token": Bug(Rules(extend_asks_token=False), "I4", "an old holder seems to hold the new lease"),
    "claim of whatever state": Bug(Rules(claim_asks_state=False), "I3", "a held job is claimed a second time"),
    "reap without expiry": Bug(Rules(reap_asks_expiry=False), "I3", "the next claim meets a certain holder"),
    "reap of whatever state": Bug(Rules(reap_asks_state=False), "I2", "what is done becomes pending again"),
    "reap leaves the token": Bug(Rules(reap_removes_token=False), "I4", "a finish that was lost seems to stand"),
    # What a token is made of.
    "token is the attempt": Bug(Rules(token="attempt"), "I4", "shared by a claim that came to no start"),
    "token is the fence, w: 1": Bug(Rules(token="fence", majority=False), "I4", "a claim rolled back shares it"),
    "w: 1": Bug(Rules(majority=False), "I3", "a claim that was rolled back has a holder who is certain"),
    # Knowing a write again.
    "finish forgets the token": Bug(Rules(finish_keeps_token=False), "I4", "a repeated finish is called lost"),
    "finish forgets its error": Bug(Rules(finish_knows_its_error=False), "I4", "so it is after the next claim"),
    "snoozes but the last forgotten": Bug(Rules(snoozes_all_known=False), "I4", "so it is after the next snooze"),
    "finish not repeated": Bug(Rules(finish_until_answered=False), "I6", "work that was done is run again"),
    # Counting.
    "attempts counted at failures": Bug(Rules(start_spends_attempt=False), "I5", "a crash costs no attempt"),
    "executor before the start": Bug(Rules(start_before_call=False), "I5", "a run that nobody counted"),
    "stop releases what runs": Bug(Rules(release_only_uncalled=False), "I5", "a run whose attempt is given back"),
    "begin not disowned": Bug(Rules(begin_disowned=False), "I5", "one whose answer was lost spends an attempt"),
    "begin at any time": Bug(Rules(begin_bounded=False), "I5", "so does one that arrives unexpected"),
    "snooze refunds at every repeat": Bug(Rules(snooze_asks_state=False), "I5 count", "one run, two given back"),
    # Cancelling: no entry after it was acknowledged.
    "retry ignores the mark": Bug(Rules(retry_sees_mark=False), "I8", "the next attempt is called"),
    "release ignores the mark": Bug(Rules(release_sees_mark=False), "I8", "the next claim is called"),
    "reap ignores the mark": Bug(Rules(reap_sees_mark=False), "I8", "so it is after a crash"),
    "cancel ends what runs": Bug(Rules(cancel_marks_running=False), "I8", "it is called all the same"),
    # Time.
    "deadline not looked at": Bug(Rules(deadline_before_call=False), "I3", "called under a lease that is over"),
    "deadline from the answer": Bug(Rules(deadline_from_request=False), "I3", "a late answer seems a new lease"),
    "heartbeat ends with the drain": Bug(Rules(heartbeat_outlives_drain=False), "I6", "a healthy pool is reaped"),
}
