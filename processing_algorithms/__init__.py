"""The algorithms of the provider, one a file."""

#: Classes in the order of a user's work.
ALGORITHMS = ()
