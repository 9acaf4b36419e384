"""Plugin packages on their way here: catalogues of indexes, the choice of a release, the installer, locks."""
