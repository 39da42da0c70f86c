"""Options that several commands share: declared in one place, so that they are the same everywhere."""
