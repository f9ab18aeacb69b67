"""How corpora lie on disk: which files there are, and who is annotated in which."""
