"""Simple Queue Service: the part that notifications and their readers need."""
