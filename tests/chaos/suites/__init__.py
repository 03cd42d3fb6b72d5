"""One file a suite, each with a ``SUITE``; the file's name is the suite's name."""
