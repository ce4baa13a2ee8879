"""The demo: a small library, pool and benchmark set of real silhouettes, and a reviewer who knows the truth."""
