"""The leaderboard: entries, which anyone can verify by playing their episodes again, and the board that shows them."""
