"""How units of work are computed: stages, the memo (cache of finished results), workers, locks, progress.

Nothing here affects the content of a result, so it doesn't enter the keys of results (`fingerprint`).
"""
