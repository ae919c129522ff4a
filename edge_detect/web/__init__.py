"""Web: the live page, its API and who may come in."""
