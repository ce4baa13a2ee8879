"""What people may say of an answer, and why they looked at it."""

RIGHT, WRONG, NOT_IN_CLASSES, UNUSABLE = "right", "wrong", "not-in-classes", "unusable"
VERDICTS = [RIGHT, WRONG, NOT_IN_CLASSES, UNUSABLE]
AUDIT, FEEDBACK, CHOSEN = "audit", "feedback", "chosen"  # drawn by chance, complained of, chosen by a person
SOURCES = [AUDIT, FEEDBACK, CHOSEN]
