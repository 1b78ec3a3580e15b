"""The folder with corpora that are not part of this repository: the environment variable VITRAIL_SHARED, or ../shared."""

import os

from vitrail.cluster import REPOSITORY

SHARED = os.environ.get("VITRAIL_SHARED") or os.path.join(os.path.dirname(REPOSITORY), "shared")


def shared_file(*parts):
    """Path of a file there, or None: whoever needs it is left out, and names it."""
    path = os.path.join(SHARED, *parts)
    return path if os.path.exists(path) else None
