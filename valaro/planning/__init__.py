"""How long a run of the pipeline will take, and how much disk and memory it needs, before anything runs."""
