"""How good a program is: domains and what they share."""
