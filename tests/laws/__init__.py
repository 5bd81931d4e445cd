"""The laws that every system and every part obeys."""
