"""Why a job does not run: from what is seen in the store to sentences, facts and what helps.

Nothing here asks MongoDB. `situation` is what is looked at, `deciding` the way from there to the `answer`.
"""

from .answer import CODES, Reason, Why
from .deciding import decide
from .situation import Situation

__all__ = ["CODES", "Reason", "Situation", "Why", "decide"]
