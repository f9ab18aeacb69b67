"""Pages for people: the report of a run, and the timeline of a video. HTML that opens from disk."""
