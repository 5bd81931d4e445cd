"""One file a paper: a function that returns a `System`, its `SIZES`, a `TINY`, and the key map of published weights."""
