"""How agents are measured and compared."""
