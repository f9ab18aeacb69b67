"""HTML pages that open from disk: the report of a run, and the timeline of a video."""
