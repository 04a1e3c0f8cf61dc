"""Files: `dump`, `load`, and what belongs to them."""
