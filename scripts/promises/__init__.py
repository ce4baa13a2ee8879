"""Worlds whose truth is planted, one module per part of the product; `lines` has what they share."""
