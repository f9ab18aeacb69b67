"""Common definitions of all stages: parameters, subjects, artefact files, errors."""
