"""What every stage uses: parameters, subjects, artefact files, errors."""
