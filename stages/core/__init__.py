"""What every stage stands on: parameters, subjects, the artefact store, errors."""
