"""Jobs of other systems, carried over into a collection of ours; see `JobManager.import_jobs`.

Another source is a module here whose class is a `Source`, and a parser in
`cli.importing`. It says of one document what it means; reading, writing,
counting and going on after an interruption are the same for all.
"""

from .carried import Carried, Left, Note, Source, Unfit
from .raw import MAX_KEY, as_far_as_readable, id_alone
from .report import Imported, Skipped
from .togedo import Togedo

__all__ = [
    "MAX_KEY",
    "Carried",
    "Imported",
    "Left",
    "Note",
    "Skipped",
    "Source",
    "Togedo",
    "Unfit",
    "as_far_as_readable",
    "id_alone",
]
