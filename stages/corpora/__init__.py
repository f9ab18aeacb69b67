"""The corpora that static models are pre-trained on: their published layouts, one table, face crops."""
