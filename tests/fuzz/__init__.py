"""Fuzzing: any input gives a result or an error of trtreg's, within bounded time and memory, and nothing is written."""
