"""Files that do harm when they are loaded without a look, for tests of what looks."""
