"""Other people's libraries: finished ones, made with another build, of whatever style, without a plugin package."""
