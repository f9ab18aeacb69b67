"""How units of work get done: stages, the memo of finished results, workers, locks, progress.

Nothing here decides what a result is, so no key of a remembered result covers it (`fingerprint`).
"""
