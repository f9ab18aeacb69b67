"""The layouts of corpora on disk: which files exist, and which subject each belongs to."""
