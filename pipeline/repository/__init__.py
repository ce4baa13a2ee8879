"""Repositories of rounds: what a new one holds, and how one follows a newer program. Texts in, texts out."""
