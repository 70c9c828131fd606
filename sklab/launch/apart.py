"""What the server process does before anything else. Whoever closes the terminal, or sends a signal to all processes of
the group, means the runs: were the server to end of it, theirs could not be told, and they would be killed."""

import os
from contextlib import suppress

from sklab.processes import hear_nothing

with suppress(PermissionError):  # a session of its own it has already
    os.setsid()
hear_nothing()
