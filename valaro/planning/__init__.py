"""How long a run of the pipeline will take, and what it will fill, before anything runs."""
