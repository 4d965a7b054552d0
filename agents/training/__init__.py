"""Training on the engine: recurrent PPO, checkpoints, several processes."""
