"""Compiled code that is optional: whoever lacks a compiler gets the same mathematics in pure JAX."""
