"""The leaderboard: entries that anyone can verify, as their episodes can be played again."""
