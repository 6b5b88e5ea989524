"""Optional compiled code; without a compiler, the same mathematics runs in pure JAX."""
