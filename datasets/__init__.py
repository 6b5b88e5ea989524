"""The corpora: one folder each, and the surrogate that is rendered in their layouts; never installed."""
