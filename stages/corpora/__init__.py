"""The corpora for pre-training the static models: their layouts, one common table, face crops."""
