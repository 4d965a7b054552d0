"""Results that others can check: entries, their verification, and the board that shows them."""
